"""The record of an array that is about to be written: its stored name, its chunks, its sharding."""

from __future__ import annotations

from typing import Any

import numpy as np

from migrate import dtypes
from migrate.engine.items import stored_name
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.chunk_shapes import chunk_shape, shard_shape
from migrate.formats.digest_record import Blocks
from migrate.tree import AbstractLeaf, KeyPath


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
      leaf: the target's leaf; its sharding decides the chunks.
      dtype: the dtype of the value.
      value_digest: the digest of the value.
      tile: the shape of a tile where the array is written tile by tile; a chunk is a tile, or the part of it that is
        in one shard.
      blocks: the digests of the value's blocks.
      name: its stored name (default: that of its key path).
    """
    assert leaf.aval is not None
    impl = dtypes.key_impl(leaf.aval.dtype)
    words = (dtypes.KEY_WORDS[impl],) if impl else ()
    shard = shard_shape(leaf) + words
    stored = np.dtype(np.uint32) if impl else dtype
    part = tuple(map(min, (tile or ()) + words, shard))
    return StagedArray(
        name=stored_name(path, leaf) if name is None else name,
        shape=(*leaf.aval.shape, *words),
        dtype=stored,
        write_shape=shard if tile is None else part,
        chunk_shape=chunk_shape(shard, stored.itemsize) if tile is None else part,
        key_impl=dtypes.KEY_IMPLS[impl] if impl else None,
        digest=value_digest,
        sharding=leaf.sharding if leaf.sharding and leaf.sharding.placed else None,
        blocks=blocks,
    )
