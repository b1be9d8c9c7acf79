"""Arrays that consist of chunks of the source, as they are stored or with every element converted.

An op that computes each element from the element in the same place, such as a cast, can be applied to the decoded
chunks in any order. So the other ops of its task decide, as for a linked array, where the chunks belong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from migrate import dtypes
from migrate.engine.items import ItemPlan
from migrate.engine.linking.link import Link
from migrate.engine.streaming.evaluate import refusal
from migrate.formats.reader import Reader
from migrate.ops.base import Op, OpError
from migrate.ops.chunk_grid import ChunkGrid
from migrate.planning.model import Plan, Step, Task
from migrate.planning.relink import chunk_moves
from migrate.tree import KeyPath

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class DecodedLink:
    """An array of the target that consists of converted chunks of the source.

    Attributes:
      link: which chunks.
      task: the task that makes it.
      ops: the ops that convert the elements, in their order; none where the elements stay the same.
    """

    link: Link
    task: Task | None = None
    ops: tuple[Op, ...] = ()

    def converted(self, elements: Array, start: tuple[int, ...]) -> Array:
        """Returns elements of the array with their final values.

        Args:
          elements: some elements as the source has them.
          start: the index of the first one in the array, for the message.

        Raises:
          RefusedError: a value does not allow an op (`LossyCast`).
        """
        for op in self.ops:
            try:
                (elements,) = op.apply(elements)
            except OpError as error:
                assert self.task is not None
                raise refusal(self.task, op, error, f"in the part that begins at {[*start]}: ") from None
        return elements

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the array."""
        assert self.link.leaf.aval is not None
        return dtypes.to_numpy(self.link.leaf.aval.dtype)


def converted_links(plan: Plan, reader: Reader, items: Mapping[KeyPath, ItemPlan]) -> Iterator[DecodedLink]:
    """Yields the arrays of streamed tasks that consist of chunks, as a rule converted ones.

    Args:
      plan: a plan from `stream_unlocated`.
      reader: the source.
      items: the item of each target key path.
    """
    for task in plan.tasks:
        grids = chunks_of_targets(task, plan) if task.mode == "stream" else None
        places = tuple(place for path in task.sources if (place := reader.location(path))) if grids else ()
        if grids is None or len(places) < len(task.sources):
            continue
        ops = tuple(step.op for step in task.steps if step.op.elementwise)
        for path, grid in zip(task.targets, grids, strict=True):
            yield DecodedLink(Link(path, items[path], plan.target.leaves[path], grid, places), task, ops)


def chunks_of_targets(task: Task, plan: Plan) -> tuple[ChunkGrid, ...] | None:
    """Returns the chunks of which each target of a task consists before elements are converted; None for other tasks.

    Args:
      task: a task of the plan.
      plan: the plan.
    """
    if any(step.bound and step.op.elementwise for step in task.steps):  # each array has an op of its own
        return None
    return chunk_moves(_without_conversions(task), plan.source.tree, plan.target)


def _without_conversions(task: Task) -> Task:
    """Returns a task without the ops that convert elements, each of which has one array for each of its arrays."""
    steps: list[Step] = []
    order: tuple[int, ...] | None = None

    def earlier(index: int) -> int:
        return index if order is None else order[index]

    for step in task.steps:
        groups = tuple(tuple(map(earlier, group)) for group in step.groups)
        if step.op.elementwise:
            order = tuple(number for (number,) in groups)
        else:
            steps.append(replace(step, groups=groups))
            order = None
    return replace(task, steps=tuple(steps), outputs=tuple(map(earlier, task.outputs)))
