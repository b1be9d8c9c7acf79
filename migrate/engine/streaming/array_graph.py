"""What makes each target of a task: a graph of arrays of which parts can be made, down to the sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from migrate.engine.linking.open_stores import reading_context
from migrate.engine.streaming.array_sources import Filled, Source, open_source
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
class Result:
    """One array that an op makes, of which parts can be made."""

    task: Task
    op: Op
    inputs: tuple[Node, ...]
    output: int
    aval: AbstractArray

    def needs(self, window: Window) -> Iterator[tuple[Node, Window]]:
        """The windows of its inputs that a window needs, in the order in which they are read."""
        yield from ((self.inputs[number], part) for number, part in self._pull(window).needs)

    def read(self, window: Window) -> Array:
        """That part of the array.

        Raises:
          RefusedError: a value does not allow the op (M503).
          CheckpointError: the source cannot be read.
        """
        pull = self._pull(window)
        parts = [self.inputs[number].read(part) for number, part in pull.needs]
        try:
            return pull.make(parts)
        except OpError as error:
            start = [low for low, _ in window]
            raise refusal(self.task, self.op, f"in the part that begins at {start}: {error}") from None

    def _pull(self, window: Window) -> Pull:
        return self.op.window([node.aval for node in self.inputs], self.output, window)


Node = Source | Result


def touched(node: Node, window: Window) -> Iterator[tuple[Node, Window]]:
    """Every array on the way to a window, itself first, with the window of it that is needed."""
    yield node, window
    if isinstance(node, Result):
        for below, part in node.needs(window):
            yield from touched(below, part)


def replaced(node: Node, copies: Mapping[Node, Source]) -> Node:
    """The same array, from the copies of those on the way that have one."""
    if node in copies:
        return copies[node]
    if isinstance(node, Result):
        return replace(node, inputs=tuple(replaced(one, copies) for one in node.inputs))
    return node


def nodes(piece: Piece, reader: Reader, cache_bytes: int) -> Mapping[KeyPath, Node]:
    """What makes each target of a piece.

    Args:
      piece: a task of ops that have windows, or one created array whose elements are all one number.
      reader: the source.
      cache_bytes: how many bytes of decoded chunks all sources together keep.
    """
    if not isinstance(piece.of, Task):
        (creation,) = piece.of
        assert creation.leaf.aval is not None
        aval = creation.leaf.aval
        return {creation.target: Filled(aval, (1,) * len(aval.shape), fill_value(creation))}
    task = piece.of
    pairs = [(path, aval) for path, aval in zip(task.sources, task.in_avals, strict=True) if aval]
    context = reading_context(cache_bytes)
    arrays: list[Node] = [open_source(reader, path, aval, context) for path, aval in pairs]
    for step in task.steps:
        arrays = [out for group in step.groups for out in results(task, step.op, tuple(arrays[i] for i in group))]
    outputs = task.outputs if task.steps else (0,) * len(task.targets)
    return {path: arrays[index] for path, index in zip(task.targets, outputs, strict=True)}


def results(task: Task, op: Op, inputs: tuple[Node, ...]) -> tuple[Node, ...]:
    """The arrays that an op of a task makes."""
    arrays = inputs
    for simple in op.simple_ops(*(node.aval for node in inputs)):
        avals = simple.infer(*(node.aval for node in arrays))
        arrays = tuple(Result(task, simple, arrays, output, aval) for output, aval in enumerate(avals))
    return arrays
