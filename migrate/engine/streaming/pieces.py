"""The plan as a sequence of pieces of work, each small enough to be in memory: what staging writes and verification
expects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from migrate.codes import FailedAssertion
from migrate.engine.linking.open_stores import reading_context
from migrate.engine.options import MINIMUM_RAM
from migrate.engine.streaming.array_sources import blocks, open_source
from migrate.engine.streaming.budget import task_bytes, value_bytes
from migrate.engine.streaming.create import creations
from migrate.engine.streaming.evaluate import evaluate
from migrate.errors import Diagnostic, RefusedError
from migrate.formats.base import Value
from migrate.formats.reader import Reader
from migrate.planning.model import Created, Dropped, Plan, Task
from migrate.tree import KeyPath, format_path

Values = Mapping[KeyPath, Value]


@dataclass(frozen=True)
class Piece:
    """Target leaves whose values are made together.

    Attributes:
      targets: their key paths.
      nbytes: host bytes that are needed at the highest point, until the values are written.
      make: computes the values.
      of: the task, or the created leaves.
    """

    targets: tuple[KeyPath, ...]
    nbytes: int
    make: Callable[[], Values]
    of: Task | tuple[Created, ...]


def pieces(plan: Plan, reader: Reader, *, streamed_only: bool = False) -> Iterator[Piece]:
    """Everything that is to be made, in the order of the plan.

    Args:
      plan: what to make.
      reader: the source.
      streamed_only: whether tasks that are relinked are left out.
    """
    for task in plan.tasks:
        if task.mode == "stream" or not streamed_only:
            yield Piece(task.targets, task_bytes(task), partial(evaluate, task, reader, plan.target), task)
    for created, make in creations(plan):
        nbytes = sum(value_bytes(creation.leaf.nbytes) for creation in created)
        yield Piece(tuple(creation.target for creation in created), nbytes, make, created)


def produce(plan: Plan, reader: Reader) -> Iterator[Values]:
    """The values of every target leaf, task by task; the caller lets go of one before it asks for the next.

    Raises:
      RefusedError: a cast would change a value (M503).
      CheckpointError: the source or the model's initialiser fails.
    """
    for piece in pieces(plan, reader):
        yield piece.make()


def batches(plan: Plan, reader: Reader, limit: int) -> Iterator[dict[KeyPath, Value]]:
    """The same, with small pieces put together up to `limit` host bytes."""
    batch: dict[KeyPath, Value] = {}
    size = 0
    for values in produce(plan, reader):
        batch.update(values)
        size += sum(plan.target.leaves[path].nbytes for path in values)
        if size >= limit:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch


def check_assertions(plan: Plan, reader: Reader, limit: int = MINIMUM_RAM) -> None:
    """Reads the leaves that a rule drops only if they are zero.

    Args:
      plan: what is dropped.
      reader: the source.
      limit: host bytes that are looked at at once; a chunk that is larger is still decoded whole.

    Raises:
      RefusedError: some are not (M504), all of them at once.
    """
    asserted = [drop for drop in plan.dropped if drop.assert_zero]
    problems = [problem for drop in asserted if (problem := _not_zero(drop, _nonzero(drop, reader, limit)))]
    if problems:
        raise RefusedError(*problems)


def _nonzero(drop: Dropped, reader: Reader, limit: int) -> int:
    """How many of a leaf's values are not zero; strings and empty nodes have none."""
    import numpy as np

    aval = drop.leaf.aval
    if aval is None or not aval.size:
        return 0
    if drop.leaf.kind == "scalar" or aval.nbytes <= limit:
        return int(np.count_nonzero(np.asarray(reader.read(drop.source))))
    source = open_source(reader, drop.source, aval, reading_context(0))
    return sum(int(np.count_nonzero(source.read(part))) for part in blocks(source, limit))


def _not_zero(drop: Dropped, count: int) -> Diagnostic | None:
    if not count:
        return None
    return FailedAssertion.at(
        f"`{format_path(drop.source)}` was to be dropped only if it is zero, but {count} of its values are not",
        span=drop.rule,
        paths=[format_path(drop.source)],
        help="this leaf has no place in the target; drop it without `assert: zero` only if its loss is meant",
    )
