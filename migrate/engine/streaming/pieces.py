"""Divides a plan into pieces that are computed one at a time, to be written by staging or compared by verification."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from migrate.engine.streaming.budget import task_bytes, value_bytes
from migrate.engine.streaming.create import creations
from migrate.engine.streaming.evaluate import evaluate
from migrate.engine.streaming.inputs import UNCOMPARED, Inputs
from migrate.formats.base import Value
from migrate.formats.reader import Reader
from migrate.planning.model import Created, Plan, Task
from migrate.tree import KeyPath

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


def pieces(plan: Plan, reader: Reader, *, streamed_only: bool = False, inputs: Inputs = UNCOMPARED) -> Iterator[Piece]:
    """All pieces of a plan, in its order.

    Args:
      plan: the plan.
      reader: the source.
      streamed_only: whether to omit linked tasks.
      inputs: compares what is read with the digests that the source records (default: nothing is compared).
    """
    for task in plan.tasks:
        if task.mode == "stream" or not streamed_only:
            evaluated = partial(evaluate, task, reader, plan.target, inputs)
            yield Piece(task.targets, task_bytes(task), evaluated, task)
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
