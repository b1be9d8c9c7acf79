"""Shapes of shards and chunks: a shard is one device's part of an array, a chunk is what is encoded at once."""

from __future__ import annotations

import math
from functools import lru_cache

from migrate import dtypes
from migrate.tree import AbstractLeaf, ChunkShapes

CHUNK_BYTES = 256 << 20
"""The upper bound of a chunk: reading any part of it decodes all of it."""


def shard_shape(leaf: AbstractLeaf) -> tuple[int, ...]:
    """Returns the shape of one device's part of a leaf; the whole shape without a sharding."""
    assert leaf.aval is not None
    placed = leaf.sharding is not None and leaf.sharding.placed
    return leaf.sharding.shard_shape(leaf.aval.shape) if leaf.sharding and placed else leaf.aval.shape


def written_chunks(leaf: AbstractLeaf) -> ChunkShapes:
    """Returns the chunks in which an array is written: those that were chosen for it, or even parts of its shards.

    An array that exceeds the memory budget is written in tiles, which divide these chunks further.
    """
    assert leaf.aval is not None
    return leaf.chunks or _even_chunks(shard_shape(leaf), leaf.aval.dtype)


@lru_cache(maxsize=4096)  # many arrays are written in equal chunks
def _even_chunks(shard: tuple[int, ...], dtype: str) -> ChunkShapes:
    return ChunkShapes(shard, chunk_shape(shard, dtypes.item_bytes(dtype)))


def chunk_shape(
    shard: tuple[int, ...], itemsize: int, limit: int = CHUNK_BYTES, *, square: bool = False
) -> tuple[int, ...]:
    """Returns the shape of the shard, or of an even part of it of at most `limit` bytes.

    Args:
      shard: a shape.
      itemsize: bytes of an element.
      limit: bytes of the part.
      square: whether the largest axis is divided first, for reading in any order; else the first axis is, so that
        the part is a slab in C order.
    """
    chunk = list(shard)
    while chunk and (times := math.prod(chunk) * itemsize / limit) > 1:
        axis = _axis_to_divide(chunk, times, square=square)
        chunk[axis] //= _smallest_factor(chunk[axis])
    return tuple(chunk)


def _axis_to_divide(chunk: list[int], times: float, *, square: bool) -> int:
    """Returns the first axis in order whose division stays near the limit: a large prime is not divided."""
    axes = [axis for axis, size in enumerate(chunk) if size > 1]
    if square:
        axes.sort(key=lambda axis: -chunk[axis])
    factors = {axis: _smallest_factor(chunk[axis]) for axis in axes}
    return next((axis for axis in axes if factors[axis] <= 2 * times), min(axes, key=lambda axis: factors[axis]))


def _smallest_factor(number: int) -> int:
    return next((f for f in range(2, int(number**0.5) + 1) if number % f == 0), number)
