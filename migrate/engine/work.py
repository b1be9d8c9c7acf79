"""The plan as a sequence of pieces of work, each small enough to be in memory: what staging writes and verification
expects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from migrate.codes import M504
from migrate.engine.create import created_values
from migrate.engine.evaluate import evaluate
from migrate.errors import Diagnostic, RefusedError
from migrate.formats.base import Reader, Value
from migrate.planning.model import Dropped, Plan
from migrate.tree import KeyPath, format_path


def produce(plan: Plan, reader: Reader) -> Iterator[Mapping[KeyPath, Value]]:
    """The values of every target leaf, task by task; the caller lets go of one before it asks for the next.

    Raises:
      RefusedError: a cast would change a value (M503).
    """
    for task in plan.tasks:
        yield evaluate(task, reader, plan.target)
    for path, value in created_values(plan):
        yield {path: value}


def batches(plan: Plan, reader: Reader, limit: int) -> Iterator[dict[KeyPath, Value]]:
    """The same, with small pieces put together up to `limit` host bytes."""
    batch: dict[KeyPath, Value] = {}
    size = 0
    for piece in produce(plan, reader):
        batch.update(piece)
        size += sum(plan.target.leaves[path].nbytes for path in piece)
        if size >= limit:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch


def check_assertions(plan: Plan, reader: Reader) -> None:
    """Reads the leaves that a rule drops only if they are zero.

    Raises:
      RefusedError: some are not (M504), all of them at once.
    """
    asserted = [drop for drop in plan.dropped if drop.assert_zero]
    problems = [problem for drop in asserted if (problem := _not_zero(drop, reader.read(drop.source)))]
    if problems:
        raise RefusedError(*problems)


def _not_zero(drop: Dropped, value: Any) -> Diagnostic | None:
    import numpy as np

    if drop.leaf.aval is None:
        return None
    count = int(np.count_nonzero(np.asarray(value)))
    if not count:
        return None
    return M504.at(
        f"`{format_path(drop.source)}` was to be dropped only if it is zero, but {count} of its values are not",
        span=drop.rule,
        paths=[format_path(drop.source)],
        help="this leaf has no place in the target; drop it without `assert: zero` only if its loss is meant",
    )
