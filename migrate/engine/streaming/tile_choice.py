"""Into which tiles an array is cut, and what has to be copied first so that no chunk is decoded twice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from migrate import dtypes
from migrate.engine.streaming.array_graph import Node, Result, touched
from migrate.engine.streaming.array_sources import Source
from migrate.ops.windows import Window, extent, whole, windows
from migrate.tree import AbstractArray, KeyPath

TILE_SHARE = 12
"""A tile is at most this part of the budget: sources, intermediate arrays, the tile, and its encoded form, twice."""

CACHE_SHARE = 4
"""Decoded chunks that the next tile needs too are at most this part of the budget."""

_CANDIDATES = 12


@dataclass(frozen=True)
class TiledTarget:
    """Targets that get the same array, cut into the same tiles.

    Attributes:
      targets: their key paths.
      node: what makes the array.
      candidates: shapes that a tile may have, the largest first.
    """

    targets: tuple[KeyPath, ...]
    node: Node
    candidates: tuple[tuple[int, ...], ...]

    def tile(self, choice: int) -> tuple[int, ...]:
        """The shape of a tile; smaller for higher choices."""
        return self.candidates[min(choice, len(self.candidates) - 1)]

    def windows(self, choice: int) -> Iterator[Window]:
        """The tiles, in C order."""
        return windows(self.node.aval.shape, self.tile(choice))


def tile_shapes(aval: AbstractArray, shard: tuple[int, ...], limit: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of tiles of at most `limit` bytes that are slabs in C order, the largest first.

    A tile's thickness divides the shard where that leaves tiles of a useful size, and always where there are several
    shards along that axis.
    """
    shape, itemsize = aval.shape, dtypes.item_bytes(aval.dtype)
    if aval.nbytes <= limit or not shape:
        return (shape,)
    rows = [math.prod(shape[axis + 1 :]) * itemsize for axis in range(len(shape))]
    axis = next((axis for axis, row in enumerate(rows) if row <= limit), len(shape) - 1)
    most = max(limit // rows[axis], 1)
    thick = [k for k in range(min(most, shard[axis]), 0, -1) if shard[axis] % k == 0]
    if shard[axis] == shape[axis] and thick[0] * 2 < most:
        thick.insert(0, most)
    return tuple((*(1,) * axis, k, *shape[axis + 1 :]) for k in thick[:_CANDIDATES])


def choose(outputs: Sequence[TiledTarget], cache: int) -> tuple[int, list[Source]]:
    """The largest tiles for which no chunk is decoded twice; else the largest, and the sources to be copied first.

    Args:
      outputs: what is made, in this order.
      cache: how many bytes of decoded chunks all sources together keep for the next tile.
    """
    largest: list[Source] | None = None
    for choice in range(max((len(output.candidates) for output in outputs), default=1)):
        again = _decoded_again(outputs, choice, cache)
        if not again:
            return choice, []
        largest = again if largest is None else largest
    return 0, largest or []


def scattered(outputs: Sequence[TiledTarget], limit: int) -> Result | None:
    """An op that regroups elements, of which the largest tiles need far more elements than they have, and more than
    `limit` bytes.

    Its input is a row of elements, of which a tile wants a few here and there: it needs a copy in small boxes.
    """
    for output in outputs:
        for window in output.windows(0):
            for node, part in touched(output.node, window):
                if isinstance(node, Result) and node.op.regroups and _is_scattered(node, part, limit):
                    return node
    return None


def _is_scattered(node: Result, window: Window, limit: int) -> bool:
    itemsize = dtypes.item_bytes(node.aval.dtype)
    needed = sum(_count(part) for _, part in node.needs(window))
    return needed > 2 * _count(window) and needed * itemsize > limit


def _decoded_again(outputs: Sequence[TiledTarget], choice: int, cache: int) -> list[Source]:
    """The sources of which a chunk would be decoded twice, if those of the last window are still there for the next."""
    loads: dict[Source, int] = {}
    held: dict[Source, Window] = {}
    wanted: dict[Source, int] = {}
    for source, part in _reads(outputs, choice):
        grid = source.grid(part)
        kept = _common(grid, held.get(source))
        loads[source] = loads.get(source, 0) + _count(grid) - kept
        held[source] = grid
        if kept:
            wanted[source] = max(wanted.get(source, 0), _count(grid) * source.chunk_bytes)
    room = cache // max(len(loads), 1)
    return [
        source
        for source, count in loads.items()
        if not source.is_at_hand
        if count > _count(source.grid(whole(source.aval.shape))) or wanted.get(source, 0) > room
    ]


def _reads(outputs: Sequence[TiledTarget], choice: int) -> Iterator[tuple[Source, Window]]:
    for output in outputs:
        for window in output.windows(choice):
            for node, part in touched(output.node, window):
                if isinstance(node, Source):
                    yield node, part


def _count(window: Window) -> int:
    return math.prod(extent(window))


def _common(window: Window, other: Window | None) -> int:
    if other is None:
        return 0
    pairs = zip(window, other, strict=True)
    return math.prod(max(min(b, d) - max(a, c), 0) for (a, b), (c, d) in pairs)
