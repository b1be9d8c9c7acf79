"""Divides a plan into pieces that are computed one at a time, to be written by staging or compared by verification."""

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
    """Target leaves whose values are computed together.

    Attributes:
      targets: their key paths.
      nbytes: peak host bytes, until the values are written.
      compute: computes the values.
      work: the task, or the created leaves.
    """

    targets: tuple[KeyPath, ...]
    nbytes: int
    compute: Callable[[], Values]
    work: Task | tuple[Created, ...]


def pieces(plan: Plan, reader: Reader, *, streamed_only: bool = False) -> Iterator[Piece]:
    """All pieces of a plan, in its order.

    Args:
      plan: the plan.
      reader: the source.
      streamed_only: whether to omit linked tasks.
    """
    for task in plan.tasks:
        if task.mode == "stream" or not streamed_only:
            yield Piece(task.targets, task_bytes(task), partial(evaluate, task, reader, plan.target), task)
    for created, compute in creations(plan):
        nbytes = sum(value_bytes(creation.leaf.nbytes) for creation in created)
        yield Piece(tuple(creation.target for creation in created), nbytes, compute, created)


def produce(plan: Plan, reader: Reader) -> Iterator[Values]:
    """Computes the values of every target leaf, piece by piece; the caller frees one piece before it asks for the next.

    Raises:
      RefusedError: a cast would change a value (`LossyCast`).
      CheckpointError: the source or the model's initializer fails.
    """
    for piece in pieces(plan, reader):
        yield piece.compute()


def batches(plan: Plan, reader: Reader, limit: int) -> Iterator[dict[KeyPath, Value]]:
    """The same values, with small pieces combined up to `limit` bytes."""
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
    """Checks that the leaves that rules drop with `assert: zero` are zero.

    Args:
      plan: the plan.
      reader: the source.
      limit: host bytes that are read at once; a larger chunk is still decoded whole.

    Raises:
      RefusedError: a leaf has values that are not zero (`FailedAssertion`); names all such leaves.
    """
    asserted = [drop for drop in plan.dropped if drop.assert_zero]
    failures = (_assertion_failure(drop, _count_nonzero(drop, reader, limit)) for drop in asserted)
    problems = [failure for failure in failures if failure]
    if problems:
        raise RefusedError(*problems)


def _count_nonzero(drop: Dropped, reader: Reader, limit: int) -> int:
    """The number of a leaf's values that are not zero; 0 for strings and empty nodes."""
    import numpy as np

    aval = drop.leaf.aval
    if aval is None or not aval.size:
        return 0
    if drop.leaf.kind == "scalar" or aval.nbytes <= limit:
        return int(np.count_nonzero(np.asarray(reader.read(drop.source))))
    source = open_source(reader, drop.source, aval, reading_context(0))
    return sum(int(np.count_nonzero(source.read(part))) for part in blocks(source, limit))


def _assertion_failure(drop: Dropped, count: int) -> Diagnostic | None:
    if not count:
        return None
    return FailedAssertion.at(
        f"`{format_path(drop.source)}` is dropped with `assert: zero`, but {count} of its values are not zero",
        span=drop.rule,
        paths=[format_path(drop.source)],
        help="give the leaf a place in the target; remove `assert: zero` only if its loss is intended",
    )
