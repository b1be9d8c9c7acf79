"""The record of an array that is about to be written: its stored name, its chunks, its sharding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from migrate import dtypes
from migrate.engine.items import stored_name
from migrate.engine.staged_array import StagedArray
from migrate.formats.digest_record import Blocks
from migrate.planning.chunking.chunk_shapes import written_chunks
from migrate.tree import AbstractLeaf, ChunkShapes, KeyPath


def describe(
    path: KeyPath,
    leaf: AbstractLeaf,
    dtype: np.dtype[Any],
    value_digest: str,
    tile: tuple[int, ...] | None = None,
    *,
    blocks: Blocks | None = None,
    name: str | None = None,
) -> StagedArray:
    """Returns the record of an array.

    Args:
      path: its key path in its item.
      leaf: the target's leaf; its sharding decides the chunks, unless they were chosen for it.
      dtype: the dtype of the value.
      value_digest: the digest of the value.
      tile: the shape of a tile where the array is written tile by tile; a chunk is a tile, or the part of it that is
        in one shard, or in one chunk that was chosen.
      blocks: the digests of the value's blocks.
      name: its stored name (default: that of its key path).
    """
    assert leaf.aval is not None
    impl = dtypes.key_impl(leaf.aval.dtype)
    words = (dtypes.KEY_WORDS[impl],) if impl else ()
    chunks = written_chunks(leaf)
    if tile is not None:
        chunks = _in_tile(chunks, tile, leaf.aval.shape, chosen=leaf.chunks is not None)
    stored = np.dtype(np.uint32) if impl else dtype
    return StagedArray(
        name=stored_name(path, leaf) if name is None else name,
        shape=leaf.aval.shape + words,
        dtype=stored,
        write_shape=chunks.outer + words,
        chunk_shape=chunks.inner + words,
        key_impl=dtypes.KEY_IMPLS[impl] if impl else None,
        digest=value_digest,
        sharding=leaf.sharding if leaf.sharding and leaf.sharding.placed else None,
        blocks=blocks,
    )


def _in_tile(chunks: ChunkShapes, tile: Sequence[int], shape: Sequence[int], *, chosen: bool) -> ChunkShapes:
    """Returns the chunks of an array that is written tile by tile: no shard is divided between two tiles."""
    sides = zip(chunks.outer, tile, shape, strict=True)
    part = tuple(outer if size <= extent else min(outer, extent) for outer, extent, size in sides)
    inner = tuple(map(math.gcd, part, chunks.inner)) if chosen else part
    return ChunkShapes(part, inner)
