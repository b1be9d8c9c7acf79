"""Which numbers the ops of a task round, computed before it runs, and ops that round more than they need to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache

from migrate.codes import EarlyRounding
from migrate.dtypes import item_bytes, kind
from migrate.errors import Diagnostic, Span
from migrate.ops.base import Op
from migrate.planning.model import Task
from migrate.planning.stages import Avals, calls
from migrate.tree import KeyPath, format_path


def unrestored(task: Task) -> tuple[str, ...]:
    """Returns a clause for each op of a task whose inverse does not restore every number, where the op states which."""
    if not _computes(task):
        return ()
    return tuple(dict.fromkeys(filter(None, (_of_call(op, inputs) for op, inputs in calls(task)))))


def early_rounding(tasks: Iterable[Task]) -> Iterator[Diagnostic]:
    """Yields one `EarlyRounding` for each op of a rule that rounds to a narrow dtype before a cast to a wider one."""
    found: defaultdict[tuple[Span | None, str], list[KeyPath]] = defaultdict(list)
    for task in tasks:
        if not task.follows and _computes(task):
            for message in dict.fromkeys(_early(task)):
                found[task.rule, message] += task.sources
    for (span, message), paths in found.items():
        yield EarlyRounding.at(
            message, span=span, paths=map(format_path, paths), help="put the `cast` before it in `ops:`"
        )


def _early(task: Task) -> Iterator[str]:
    made = calls(task)
    for at, (op, inputs) in enumerate(made):
        if op.elementwise and not op.only_casts and not op.restores(*inputs):
            narrow = inputs[0].dtype
            for cast, (array, *_) in made[at + 1 :]:
                wide = cast.infer(array)[0].dtype if cast.only_casts else ""
                if array.dtype == narrow and wide and _is_wider(wide, narrow):
                    yield f"`{op.name}` rounds to {narrow}, and only then the values are cast to {wide}"
                    break


def _is_wider(dtype: str, narrow: str) -> bool:
    return kind(dtype) == kind(narrow) in ("float", "complex") and item_bytes(dtype) > item_bytes(narrow)


def _computes(task: Task) -> bool:
    return any(op.elementwise and not op.only_casts for step in task.steps for op in step.ops)


@lru_cache(maxsize=1 << 8)  # a plan has many leaves and few dtypes
def _of_call(op: Op, inputs: Avals) -> str:
    return op.unrestored(*inputs)
