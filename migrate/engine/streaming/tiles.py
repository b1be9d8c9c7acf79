"""A task whose arrays are too large to be held: its targets are made and written tile by tile.

Tiles are slabs that follow one another in C order, so that the digest is that of the whole array. What a tile needs is
found by going backwards through the ops (`engine.windows`). A source whose chunks would have to be decoded more than
once on the way is copied into small chunks first (`engine.tiling` finds it).

A chunk of the source that is larger than that is unpacked as a stream (`engine.unpack`). Two things are not divided:
one chunk in a codec that cannot be streamed, which is decoded whole and lies beside its encoded form, and the arrays
of an op that needs them whole (`call`). Where these are larger than the budget, they are the least that is needed.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from migrate.engine.streaming.array_bytes import Digest, contiguous
from migrate.engine.streaming.array_graph import Node, Result, nodes, replaced
from migrate.engine.streaming.array_sources import Source, blocks, scratch_copy
from migrate.engine.streaming.budget import Trimmer
from migrate.engine.streaming.chunk_shapes import shard_shape
from migrate.engine.streaming.chunk_stream import unpackable
from migrate.engine.streaming.create import fill_value
from migrate.engine.streaming.evaluate import as_kind
from migrate.engine.streaming.pieces import Piece
from migrate.engine.streaming.store import Tiles
from migrate.engine.streaming.tile_choice import CACHE_SHARE, TILE_SHARE, TiledTarget, choose, scattered, tile_shapes
from migrate.formats.base import Value
from migrate.formats.reader import Reader
from migrate.ops.windows import whole
from migrate.planning.model import Task
from migrate.tree import AbstractTree, KeyPath

SCRATCH_PREFIX = ".scratch-"
"""What folders with scratch copies begin with; a killed run leaves them behind."""

Begin = Callable[[KeyPath, tuple[int, ...]], Tiles]
"""Begins the writing of a target in tiles of that shape."""


def remove_scratch(folder: Path) -> None:
    """Removes the scratch copies that a killed run left in a folder."""
    for left in folder.glob(f"{SCRATCH_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


def can_tile(piece: Piece) -> bool:
    """Whether a piece can be worked on in parts."""
    if not isinstance(piece.of, Task):
        return len(piece.of) == 1 and piece.of[0].leaf.kind == "array" and fill_value(piece.of[0]) is not None
    avals = (*piece.of.in_avals, *piece.of.out_avals)
    return all(aval and aval.size for aval in avals) and all(step.op.has_windows for step in piece.of.steps)


def make_in_tiles(
    piece: Piece, reader: Reader, target: AbstractTree, todo: Sequence[KeyPath], limit: int, begin: Begin, scratch: Path
) -> Mapping[KeyPath, Value]:
    """Makes a piece for which `can_tile` holds, and writes its arrays.

    Args:
      piece: what to make.
      reader: the source.
      target: the tree that is being written.
      todo: the arrays among the piece's targets that are to be written.
      limit: host bytes that may be in use; a chunk of the source that is larger is still decoded whole.
      begin: begins the writing of one target.
      scratch: a directory in which scratch copies may be put, beside the stores.

    Returns:
      The values of the piece's targets that are not arrays.

    Raises:
      RefusedError: a value does not allow an op (M503).
      CheckpointError: the source cannot be read.
    """
    made = nodes(piece, reader, limit // CACHE_SHARE)
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=scratch))
    try:
        outputs, choice = _Scratch(folder, limit).prepared(_outputs(piece, made, target, todo, limit))
        for output in outputs:
            _write(output, choice, begin)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    others = [path for path in piece.targets if target.leaves[path].kind != "array"]
    return {path: as_kind(made[path].read(whole(made[path].aval.shape)), target.leaves[path]) for path in others}


def _outputs(
    piece: Piece, made: Mapping[KeyPath, Node], target: AbstractTree, todo: Sequence[KeyPath], limit: int
) -> list[TiledTarget]:
    together: dict[tuple[Node, tuple[int, ...]], list[KeyPath]] = {}
    for path in piece.targets:
        if path in todo:
            together.setdefault((made[path], shard_shape(target.leaves[path])), []).append(path)
    return [
        TiledTarget(tuple(paths), node, tile_shapes(node.aval, shard, limit // TILE_SHARE))
        for (node, shard), paths in together.items()
    ]


@dataclass
class _Scratch:
    """Copies of arrays that are read in another order than they lie."""

    folder: Path
    limit: int
    names: Iterator[int] = field(default_factory=itertools.count)

    def prepared(self, outputs: Sequence[TiledTarget]) -> tuple[Sequence[TiledTarget], int]:
        """The outputs, from copies where they are needed, and the choice of tiles."""
        while node := scattered(outputs, self.limit // CACHE_SHARE):
            outputs = _replaced(outputs, {node: self._copy_result(node)})
        choice, sources = choose(outputs, self.limit // CACHE_SHARE)
        return _replaced(outputs, {source: self._copy_source(source) for source in sources}), choice

    def _copy_source(self, source: Source) -> Source:
        limit = self.limit // TILE_SHARE
        stream = unpackable(source, limit)
        if stream is not None:
            return scratch_copy(source.aval, stream.block(limit), stream.parts(limit), self._place())
        parts = ((part, source.read(part)) for part in blocks(source, limit))
        return scratch_copy(source.aval, source.chunks, parts, self._place())

    def _copy_result(self, node: Result) -> Source:
        shapes = tile_shapes(node.aval, node.aval.shape, self.limit // TILE_SHARE)
        (output,), choice = self.prepared([TiledTarget((), node, shapes)])
        parts = ((part, output.node.read(part)) for part in output.windows(choice))
        return scratch_copy(node.aval, output.tile(choice), parts, self._place())

    def _place(self) -> Path:
        return self.folder / str(next(self.names))


def _replaced(outputs: Sequence[TiledTarget], copies: Mapping[Node, Source]) -> Sequence[TiledTarget]:
    return [replace(output, node=replaced(output.node, copies)) for output in outputs]


def _write(output: TiledTarget, choice: int, begin: Begin) -> None:
    writes = [begin(path, output.tile(choice)) for path in output.targets]
    digest, trimmer = Digest(), Trimmer()
    for window in output.windows(choice):
        tile = contiguous(output.node.read(window))
        digest.update(tile)
        for write in writes:
            write.write([start for start, _ in window], tile)
        trimmer.worked(tile.nbytes)
    for write in writes:
        write.finish(str(digest))
