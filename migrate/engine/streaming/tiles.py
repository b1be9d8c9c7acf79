"""A task whose arrays exceed the budget: its targets are computed and written tile by tile.

Tiles are slabs that follow one another in C order, so that their digest equals the digest of the whole array. The
windows that a tile needs follow from the ops, backwards from the target (`array_graph`). A source whose chunks would
be decoded more than once is first copied into small chunks (`tile_choice`).

A chunk of the source that is larger than a tile is decoded as a stream (`chunk_stream`). Two things are not divided: a
chunk whose codec cannot be streamed, which is held whole beside its encoded form, and the arrays of an op that needs
whole arrays (`call`). They are held even where they exceed the budget.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from migrate.engine.streaming.array_bytes import Digest, contiguous
from migrate.engine.streaming.array_graph import ArrayNode, OpResult, build_graph, with_copies
from migrate.engine.streaming.array_sources import (
    ArraySource,
    block_shape,
    blocks,
    scratch_chunks,
    scratch_copy,
)
from migrate.engine.streaming.budget import Trimmer
from migrate.engine.streaming.chunk_stream import streamable
from migrate.engine.streaming.create import fill_value
from migrate.engine.streaming.evaluate import as_kind
from migrate.engine.streaming.pieces import Piece
from migrate.engine.streaming.store import Tiles
from migrate.engine.streaming.tile_choice import (
    CACHE_SHARE,
    TILE_SHARE,
    TiledTarget,
    choose,
    first_window,
    scattered,
    tile_shapes,
)
from migrate.formats.base import Value
from migrate.formats.reader import Reader
from migrate.ops.windows import Window, extent, whole
from migrate.places.bucket_path import BucketPath
from migrate.planning.chunking.chunk_shapes import shard_shape
from migrate.planning.model import Task
from migrate.tree import AbstractArray, AbstractTree, ChunkShapes, KeyPath

Array = np.ndarray[Any, Any]

SCRATCH_PREFIX = ".scratch-"
"""Prefix of directories with scratch copies; a killed run leaves them behind."""

Begin = Callable[[KeyPath, tuple[int, ...]], Tiles]
"""Begins writing a target in tiles of the given shape."""


def remove_scratch(folder: Path) -> None:
    """Removes the scratch copies that a killed run left in a directory."""
    if isinstance(folder, BucketPath):
        return
    for left in folder.glob(f"{SCRATCH_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


def can_tile(piece: Piece) -> bool:
    """Whether a piece can be computed tile by tile."""
    if not isinstance(piece.work, Task):
        return len(piece.work) == 1 and piece.work[0].leaf.kind == "array" and fill_value(piece.work[0]) is not None
    avals = (*piece.work.in_avals, *piece.work.out_avals)
    return all(aval and aval.size for aval in avals) and all(
        op.has_windows for step in piece.work.steps for op in step.ops
    )


def make_in_tiles(
    piece: Piece, reader: Reader, target: AbstractTree, todo: Sequence[KeyPath], limit: int, begin: Begin, scratch: Path
) -> Mapping[KeyPath, Value]:
    """Computes a piece tile by tile and writes its arrays.

    Args:
      piece: the piece, for which `can_tile` is true.
      reader: the source.
      target: the tree that is being written.
      todo: the piece's targets that are arrays and not yet durable.
      limit: budget in bytes; a larger chunk whose codec cannot be streamed is still decoded whole.
      begin: begins writing one target.
      scratch: the directory for scratch copies, beside the stores; those of a bucket are in the directory for
        temporary files.

    Returns:
      The values of the piece's targets that are not arrays.

    Raises:
      RefusedError: a value does not allow an op (`LossyCast`).
      CheckpointError: the source cannot be read.
    """
    graph = build_graph(piece, reader, limit // CACHE_SHARE)
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=None if isinstance(scratch, BucketPath) else scratch))
    try:
        tiled = _tiled_targets(piece, graph, target, todo, limit)
        tiled, choice = _Scratch(folder, limit).prepare(tiled)
        for one in tiled:
            _write(one, choice, begin, Trimmer(limit))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    others = [path for path in piece.targets if target.leaves[path].kind != "array"]
    return {path: as_kind(graph[path].read(whole(graph[path].aval.shape)), target.leaves[path]) for path in others}


def _tiled_targets(
    piece: Piece, graph: Mapping[KeyPath, ArrayNode], target: AbstractTree, todo: Sequence[KeyPath], limit: int
) -> Sequence[TiledTarget]:
    """Groups targets that share an array, a shard shape and chunks."""
    groups: dict[tuple[ArrayNode, tuple[int, ...], ChunkShapes | None], list[KeyPath]] = {}
    for path in piece.targets:
        if path in todo:
            leaf = target.leaves[path]
            groups.setdefault((graph[path], shard_shape(leaf), leaf.chunks), []).append(path)
    return [
        TiledTarget(tuple(paths), node, tile_shapes(node.aval, shard, limit // TILE_SHARE, chunks))
        for (node, shard, chunks), paths in groups.items()
    ]


@dataclass
class _Scratch:
    """Scratch copies of arrays that are read in an order unlike that of their chunks."""

    folder: Path
    limit: int
    names: Iterator[int] = field(default_factory=itertools.count)

    def prepare(self, targets: Sequence[TiledTarget]) -> tuple[Sequence[TiledTarget], int]:
        """Makes the copies that the targets need; returns the targets that read them, and the choice of tiles."""
        while node := scattered(targets, self.limit // CACHE_SHARE):
            read = extent(first_window(targets, 0, node))
            targets = _with_copies(targets, {node: self._copy_result(node, read)})
        choice, sources = choose(targets, self.limit // CACHE_SHARE)
        reads = {source: extent(first_window(targets, choice, source)) for source in sources}
        return _with_copies(targets, {source: self._copy_source(source, reads[source]) for source in sources}), choice

    def _copy_source(self, source: ArraySource, read: tuple[int, ...]) -> ArraySource:
        limit = self.limit // TILE_SHARE
        stream = streamable(source, limit)
        if stream is not None:
            return self._copy(source.aval, stream.block(limit), read, stream.parts(limit))
        parts = ((part, source.read(part)) for part in blocks(source, limit))
        return self._copy(source.aval, block_shape(source, limit), read, parts)

    def _copy_result(self, node: OpResult, read: tuple[int, ...]) -> ArraySource:
        shapes = tile_shapes(node.aval, node.aval.shape, self.limit // TILE_SHARE)
        (tiled,), choice = self.prepare([TiledTarget((), node, shapes)])
        parts = ((part, tiled.node.read(part)) for part in tiled.windows(choice))
        return self._copy(node.aval, tiled.tile(choice), read, parts)

    def _copy(
        self,
        aval: AbstractArray,
        block: tuple[int, ...],
        read: tuple[int, ...],
        parts: Iterable[tuple[Window, Array]],
    ) -> ArraySource:
        chunks = scratch_chunks(aval, block, read)
        return scratch_copy(aval, chunks, parts, self.folder / str(next(self.names)), Trimmer(self.limit))


def _with_copies(targets: Sequence[TiledTarget], copies: Mapping[ArrayNode, ArraySource]) -> Sequence[TiledTarget]:
    return [replace(target, node=with_copies(target.node, copies)) for target in targets]


def _write(target: TiledTarget, choice: int, begin: Begin, trimmer: Trimmer) -> None:
    writes = [begin(path, target.tile(choice)) for path in target.targets]
    digest = Digest()
    for window in target.windows(choice):
        tile = contiguous(target.node.read(window))
        digest.update(tile)
        for write in writes:
            write.write([start for start, _ in window], tile)
        trimmer.add(tile.nbytes)
    for write in writes:
        write.finish(str(digest), digest.blocks)
