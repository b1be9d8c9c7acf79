"""Arrays as grids of encoded chunks, and how structural ops move chunks whose bytes stay the same.

A chunk is a block of an array, encoded on its own. Renaming an array, adding an axis of size one or joining arrays
along a chunk boundary only changes the position of chunks. An op that can move chunks that way implements `Op.relink`
on the values of this module, so that planning knows from metadata alone that no byte changes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import add
from typing import TypeVar

Index = tuple[int, ...]
T = TypeVar("T")

# The functions below make values directly: `dataclasses.replace` takes ten times as long, and arrays may be many.


@dataclass(frozen=True, slots=True)
class Run:
    """One axis of a block: `count` chunks, from `offset` in the result and from `start` along a source axis.

    `source` is None for an axis that no source has, which is one chunk thick.
    """

    source: int | None
    start: int
    offset: int
    count: int


_NEW = Run(None, 0, 0, 1)
"""An axis that no source has."""


@dataclass(frozen=True, slots=True)
class Block:
    """A box of chunks of one array.

    Attributes:
      array: the position of the array among the sources.
      fixed: source axes that were removed, each with the index of its only chunk.
      runs: the result's axes.
    """

    array: int
    fixed: tuple[tuple[int, int], ...]
    runs: tuple[Run, ...]

    def moves(self) -> Iterator[tuple[Index, Index]]:
        """The index of every chunk in its source, and in the result."""
        first = [0] * (len(self.fixed) + sum([run.source is not None for run in self.runs]))
        for axis, index in self.fixed:
            first[axis] = index
        for run in self.runs:
            if run.source is not None:
                first[run.source] = run.start
        sources, offsets = [run.source for run in self.runs], [run.offset for run in self.runs]
        for steps in itertools.product(*[range(run.count) for run in self.runs]):
            origin = first.copy()
            for source, step in zip(sources, steps, strict=True):
                if source is not None:
                    origin[source] += step
            yield tuple(origin), tuple(map(add, offsets, steps))


@dataclass(frozen=True, slots=True)
class ChunkGrid:
    """An array as chunks of other arrays.

    Attributes:
      shape: the array's shape.
      chunks: the shape of one chunk of its grid; the last chunk along an axis may extend beyond the array.
      inner: the shape of the chunks inside each chunk (zarr 3 shards), or None.
      blocks: the sources of the chunks.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    inner: tuple[int, ...] | None
    blocks: tuple[Block, ...]

    @classmethod
    def source(
        cls, array: int, shape: Sequence[int], chunks: Sequence[int], inner: Sequence[int] | None = None
    ) -> ChunkGrid:
        """The array at position `array` of the sources, unchanged."""
        return _unchanged(array, tuple(shape), tuple(chunks), tuple(inner) if inner is not None else None)

    def with_axis(self, axis: int) -> ChunkGrid:
        """The grid with a new axis of size one before `axis`."""
        return ChunkGrid(
            _inserted(self.shape, axis, 1),
            _inserted(self.chunks, axis, 1),
            _inserted(self.inner, axis, 1) if self.inner is not None else None,
            tuple([Block(b.array, b.fixed, _inserted(b.runs, axis, _NEW)) for b in self.blocks]),
        )

    def without_axis(self, axis: int) -> ChunkGrid | None:
        """The grid without an axis of size one; None where its chunks are thicker than that."""
        if self.shape[axis] != 1 or self.chunks[axis] != 1 or (self.inner is not None and self.inner[axis] != 1):
            return None
        return ChunkGrid(
            _removed(self.shape, axis),
            _removed(self.chunks, axis),
            _removed(self.inner, axis) if self.inner is not None else None,
            tuple(_flattened(block, axis) for block in self.blocks),
        )

    def cut(self, axis: int, start: int, stop: int) -> ChunkGrid | None:
        """The part from `start` to `stop` along an axis; None where a chunk would be divided."""
        thick = self.chunks[axis]
        if start % thick or (stop % thick and stop != self.shape[axis]) or start >= stop:
            return None
        first, last = start // thick, math.ceil(stop / thick)
        blocks = tuple(part for block in self.blocks if (part := _clipped(block, axis, first, last)))
        return replace(self, shape=(*self.shape[:axis], stop - start, *self.shape[axis + 1 :]), blocks=blocks)

    def reshaped(self, shape: Sequence[int]) -> ChunkGrid | None:
        """The same elements in another shape; None where chunks would change."""
        if [size for size in shape if size != 1] == [size for size in self.shape if size != 1]:
            return self._with_ones(shape)
        whole = self.chunks == self.shape and self.inner in (None, self.chunks) and len(self.blocks) == 1
        if not whole or 0 in self.shape:
            return None
        only = self.blocks[0]
        gone = tuple((run.source, run.start) for run in only.runs if run.source is not None)
        block = Block(only.array, (*only.fixed, *gone), (Run(None, 0, 0, 1),) * len(shape))
        inner = tuple(shape) if self.inner is not None else None
        return ChunkGrid(tuple(shape), tuple(shape), inner, (block,))

    def _with_ones(self, shape: Sequence[int]) -> ChunkGrid | None:
        """The grid in a shape that differs only in axes of size one."""
        bare: ChunkGrid | None = self
        for axis in reversed(range(len(self.shape))):
            if bare is not None and self.shape[axis] == 1:
                bare = bare.without_axis(axis)
        for axis, size in enumerate(shape):
            bare = bare.with_axis(axis) if bare is not None and size == 1 else bare
        return bare


@lru_cache(maxsize=4096)  # a checkpoint has many arrays and few shapes
def _unchanged(array: int, shape: tuple[int, ...], chunks: tuple[int, ...], inner: tuple[int, ...] | None) -> ChunkGrid:
    counts = [math.ceil(size / chunk) for size, chunk in zip(shape, chunks, strict=True)]
    runs = tuple(Run(axis, 0, 0, count) for axis, count in enumerate(counts))
    return ChunkGrid(shape, chunks, inner, (Block(array, (), runs),))


def joined(parts: Sequence[ChunkGrid], axis: int) -> ChunkGrid | None:
    """Arrays joined along an axis; None where one does not end at a chunk boundary or the chunks differ."""
    first = parts[0]
    thick = first.chunks[axis]
    alike = all(part.chunks == first.chunks and part.inner == first.inner for part in parts)
    if not alike or any(part.shape[axis] % thick for part in parts[:-1]):
        return None
    blocks: list[Block] = []
    offset = 0
    for part in parts:
        blocks += [_shifted(block, axis, offset) for block in part.blocks]
        offset += math.ceil(part.shape[axis] / thick)
    total = sum(part.shape[axis] for part in parts)
    return replace(first, shape=(*first.shape[:axis], total, *first.shape[axis + 1 :]), blocks=tuple(blocks))


def keeps_order(order: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether a transposition moves no element, because only axes of size one change their position."""
    wide = [axis for axis in order if shape[axis] != 1]
    return wide == sorted(wide)


def _inserted(items: tuple[T, ...], axis: int, item: T) -> tuple[T, ...]:
    return (*items[:axis], item, *items[axis:])


def _removed(items: tuple[T, ...], axis: int) -> tuple[T, ...]:
    return (*items[:axis], *items[axis + 1 :])


def _flattened(block: Block, axis: int) -> Block:
    run = block.runs[axis]
    gone = ((run.source, run.start),) if run.source is not None else ()
    return Block(block.array, (*block.fixed, *gone), _removed(block.runs, axis))


def _clipped(block: Block, axis: int, first: int, last: int) -> Block | None:
    """The part of a block between two chunk indices of the result, counted from `first`."""
    run = block.runs[axis]
    low, high = max(run.offset, first), min(run.offset + run.count, last)
    if low >= high:
        return None
    kept = Run(run.source, run.start + low - run.offset, low - first, high - low)
    return Block(block.array, block.fixed, (*block.runs[:axis], kept, *block.runs[axis + 1 :]))


def _shifted(block: Block, axis: int, by: int) -> Block:
    old = block.runs[axis]
    run = Run(old.source, old.start, old.offset + by, old.count)
    return Block(block.array, block.fixed, (*block.runs[:axis], run, *block.runs[axis + 1 :]))
