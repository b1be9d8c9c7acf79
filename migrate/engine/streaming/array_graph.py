"""The arrays of a task as a graph: each target can be computed window by window, down to its sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from migrate.engine.linking.open_stores import reading_context
from migrate.engine.streaming.array_sources import ArraySource, FilledSource, open_source
from migrate.engine.streaming.create import fill_value
from migrate.engine.streaming.evaluate import refusal
from migrate.engine.streaming.pieces import Piece
from migrate.formats.reader import Reader
from migrate.ops.base import Op, OpError
from migrate.ops.windows import Pull, Window
from migrate.planning.model import Task
from migrate.tree import AbstractArray, KeyPath

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class OpResult:
    """One output of an op, computed window by window.

    Attributes:
      task: the task that the op belongs to.
      op: the op.
      inputs: the nodes to which it is applied.
      output: the index of the array among the op's outputs.
      aval: its shape and dtype.
    """

    task: Task
    op: Op
    inputs: tuple[ArrayNode, ...]
    output: int
    aval: AbstractArray

    def needs(self, window: Window) -> Iterator[tuple[ArrayNode, Window]]:
        """The windows of its inputs that a window needs, in the order in which they are read."""
        yield from ((self.inputs[number], part) for number, part in self._pull(window).needs)

    def read(self, window: Window) -> Array:
        """Computes a window of the array.

        Raises:
          RefusedError: a value does not allow the op (`LossyCast`).
          CheckpointError: the source cannot be read.
        """
        pull = self._pull(window)
        parts = [self.inputs[number].read(part) for number, part in pull.needs]
        try:
            return pull.make(parts)
        except OpError as error:
            start = [low for low, _ in window]
            raise refusal(self.task, self.op, error, f"in the part that begins at {start}: ") from None

    def _pull(self, window: Window) -> Pull:
        return self.op.window([node.aval for node in self.inputs], self.output, window)


ArrayNode = ArraySource | OpResult


def windows_read(node: ArrayNode, window: Window) -> Iterator[tuple[ArrayNode, Window]]:
    """Every node that a window needs, the node itself first, each with the window of it that is needed."""
    yield node, window
    if isinstance(node, OpResult):
        for below, part in node.needs(window):
            yield from windows_read(below, part)


def with_copies(node: ArrayNode, copies: Mapping[ArrayNode, ArraySource]) -> ArrayNode:
    """The same array, with the nodes that have a copy replaced by it."""
    if node in copies:
        return copies[node]
    if isinstance(node, OpResult):
        return replace(node, inputs=tuple(with_copies(one, copies) for one in node.inputs))
    return node


def build_graph(piece: Piece, reader: Reader, cache_bytes: int) -> Mapping[KeyPath, ArrayNode]:
    """Builds the node of each target of a piece.

    Args:
      piece: a task of ops that have windows, or one created array that is filled with one number.
      reader: the source.
      cache_bytes: size of the cache of decoded chunks that all sources share.
    """
    if not isinstance(piece.work, Task):
        (creation,) = piece.work
        assert creation.leaf.aval is not None
        aval = creation.leaf.aval
        return {creation.target: FilledSource(aval, (1,) * len(aval.shape), fill_value(creation))}
    task = piece.work
    pairs = [(path, aval) for path, aval in zip(task.sources, task.in_avals, strict=True) if aval]
    context = reading_context(cache_bytes)
    arrays: list[ArrayNode] = [open_source(reader, path, aval, context) for path, aval in pairs]
    for step in task.steps:
        arrays = [out for op, group in step.calls for out in results(task, op, tuple(arrays[i] for i in group))]
    outputs = task.outputs if task.steps else (0,) * len(task.targets)
    return {path: arrays[index] for path, index in zip(task.targets, outputs, strict=True)}


def results(task: Task, op: Op, inputs: tuple[ArrayNode, ...]) -> tuple[ArrayNode, ...]:
    """The outputs of an op of a task."""
    arrays = inputs
    for simple in op.simple_ops(*(node.aval for node in inputs)):
        avals = simple.infer(*(node.aval for node in arrays))
        arrays = tuple(OpResult(task, simple, arrays, output, aval) for output, aval in enumerate(avals))
    return arrays
