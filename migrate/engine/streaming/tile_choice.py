"""Chooses the tiles of an array, and the sources to copy first so that no chunk is decoded twice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from migrate import dtypes
from migrate.engine.streaming.array_graph import ArrayNode, OpResult, windows_read
from migrate.engine.streaming.array_sources import ArraySource
from migrate.ops.windows import Window, extent, whole, windows
from migrate.tree import AbstractArray, ChunkShapes, KeyPath

TILE_SHARE = 12
"""The budget holds this many tiles: sources, intermediate arrays, the tile, and its encoded form, twice."""

CACHE_SHARE = 4
"""The cache of decoded chunks that the next tile needs too is the budget divided by this."""

_CANDIDATES = 12


@dataclass(frozen=True)
class TiledTarget:
    """Targets that share one array and its tiles.

    Attributes:
      targets: their key paths.
      node: the node of the array.
      candidates: candidate tile shapes, the largest first.
    """

    targets: tuple[KeyPath, ...]
    node: ArrayNode
    candidates: tuple[tuple[int, ...], ...]

    def tile(self, choice: int) -> tuple[int, ...]:
        """The shape of a tile; higher choices give smaller tiles."""
        return self.candidates[min(choice, len(self.candidates) - 1)]

    def windows(self, choice: int) -> Iterator[Window]:
        """The tiles, in C order."""
        return windows(self.node.aval.shape, self.tile(choice))


def tile_shapes(
    aval: AbstractArray, shard: tuple[int, ...], limit: int, chunks: ChunkShapes | None = None
) -> tuple[tuple[int, ...], ...]:
    """Candidate shapes of tiles that are slabs in C order and take at most `limit` bytes, the largest first.

    The thickness of a tile divides the shard where there are several shards along that axis, and elsewhere if that does
    not make tiles much smaller. Chunks that were chosen for the array take the place of shards: tiles divide them
    evenly, so that no part of the array touches more than it would touch of these chunks.
    """
    shape, itemsize = aval.shape, dtypes.item_bytes(aval.dtype)
    if aval.nbytes <= limit or not shape:
        return (shape,)
    rows = [math.prod(shape[axis + 1 :]) * itemsize for axis in range(len(shape))]
    axis = next((axis for axis, row in enumerate(rows) if row <= limit), len(shape) - 1)
    most = max(limit // rows[axis], 1)
    if chunks is not None:
        thick = _parts_of_chunks(chunks.outer[axis], chunks.inner[axis], most)
        return tuple((*(1,) * axis, k, *shape[axis + 1 :]) for k in thick[:_CANDIDATES])
    thick = [k for k in range(min(most, shard[axis]), 0, -1) if shard[axis] % k == 0]
    if shard[axis] == shape[axis] and thick[0] * 2 < most:
        thick.insert(0, most)
    return tuple((*(1,) * axis, k, *shape[axis + 1 :]) for k in thick[:_CANDIDATES])


def _parts_of_chunks(outer: int, inner: int, most: int) -> list[int]:
    """Returns even parts of a shard, the largest first, that consist of whole chunks or divide them evenly."""
    even = (k for k in range(min(most, outer), 0, -1) if outer % k == 0)
    return [k for k in even if k % inner == 0 or inner % k == 0]


def choose(targets: Sequence[TiledTarget], cache: int) -> tuple[int, list[ArraySource]]:
    """Chooses the largest tiles for which no chunk is decoded twice; else the largest tiles and the sources to copy.

    Args:
      targets: the targets, in the order in which they are written.
      cache: size of the cache of decoded chunks that all sources share.
    """
    sources = list(dict.fromkeys(node for node in _nodes(targets) if isinstance(node, ArraySource)))
    room = cache // max(len(sources), 1)
    to_copy: Sequence[ArraySource] = [source for source in sources if not source.is_free_to_reread]
    for choice in range(max((len(target.candidates) for target in targets), default=1) if to_copy else 1):
        again = _decoded_again(targets, choice, to_copy, room, first_only=choice > 0)
        if not again:
            return choice, []
        to_copy = again if choice == 0 else to_copy
    return 0, list(to_copy)


def first_window(targets: Sequence[TiledTarget], choice: int, wanted: ArrayNode) -> Window:
    """Returns the first window of an array that the targets read, which is as large as any other or larger."""
    reads = (
        part
        for target in targets
        for window in target.windows(choice)
        for node, part in windows_read(target.node, window)
        if node is wanted
    )
    return next(reads)


def scattered(targets: Sequence[TiledTarget], limit: int) -> OpResult | None:
    """An op that regroups elements and whose tiles need far more of them than they have, and more than `limit` bytes.

    A tile of it needs a few elements here and there of its input, so the result is first copied into small chunks.
    """
    for target in targets:
        for window in target.windows(0) if _regroups([target]) else ():
            for node, part in windows_read(target.node, window):
                if isinstance(node, OpResult) and node.op.regroups and _is_scattered(node, part, limit):
                    return node
    return None


def _regroups(targets: Sequence[TiledTarget]) -> bool:
    return any(isinstance(node, OpResult) and node.op.regroups for node in _nodes(targets))


def _nodes(targets: Sequence[TiledTarget]) -> Iterator[ArrayNode]:
    """Yields every node of the targets' graph, each once."""
    seen: set[ArrayNode] = set()
    left: list[ArrayNode] = [target.node for target in reversed(targets)]
    while left:
        node = left.pop()
        if node not in seen:
            seen.add(node)
            yield node
            left += reversed(node.inputs) if isinstance(node, OpResult) else ()


def _is_scattered(node: OpResult, window: Window, limit: int) -> bool:
    itemsize = dtypes.item_bytes(node.aval.dtype)
    needed = sum(_count(part) for _, part in node.needs(window))
    return needed > 2 * _count(window) and needed * itemsize > limit


def _decoded_again(
    targets: Sequence[TiledTarget], choice: int, sources: Sequence[ArraySource], room: int, *, first_only: bool
) -> list[ArraySource]:
    """The sources with a chunk that would be decoded twice if the cache keeps the chunks of the last window only.

    Args:
      targets: the targets.
      choice: the choice of tiles.
      sources: the sources to look at.
      room: the bytes of the cache for each source.
      first_only: whether to stop at the first such source.
    """
    chunks = {source: _count(source.grid(whole(source.aval.shape))) for source in sources}
    loads = dict.fromkeys(sources, 0)
    last: dict[ArraySource, Window] = {}
    again: set[ArraySource] = set()
    for source, part in _source_reads(targets, choice):
        if source not in chunks or source in again:
            continue
        grid = source.grid(part)
        count, kept = _count(grid), _overlap(grid, last.get(source))
        loads[source] += count - kept
        last[source] = grid
        if loads[source] > chunks[source] or (kept and count * source.chunk_bytes > room):
            again.add(source)
            if first_only or len(again) == len(sources):
                break
    return [source for source in sources if source in again]


def _source_reads(targets: Sequence[TiledTarget], choice: int) -> Iterator[tuple[ArraySource, Window]]:
    for target in targets:
        for window in target.windows(choice):
            for node, part in windows_read(target.node, window):
                if isinstance(node, ArraySource):
                    yield node, part


def _count(window: Window) -> int:
    return math.prod(extent(window))


def _overlap(window: Window, other: Window | None) -> int:
    if other is None:
        return 0
    pairs = zip(window, other, strict=True)
    return math.prod(max(min(b, d) - max(a, c), 0) for (a, b), (c, d) in pairs)
