"""The record of an array before it is written; covers `outputs.zarr_metadata` as well."""

import math
import operator
from dataclasses import replace

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given
from hypothesis import strategies as st

from migrate import dtypes
from migrate.engine.outputs.array_record import describe
from migrate.engine.outputs.zarr_metadata import array_metadata
from migrate.engine.streaming.tile_choice import tile_shapes
from migrate.tree import AbstractArray, AbstractLeaf, ChunkShapes, Sharding

SHARDED = Sharding((("x", 2),), (("x",), None))


def leaf(dtype="float32", sharding=None):
    return AbstractLeaf("array", AbstractArray((8, 6), dtype), sharding=sharding)


def test_an_array_without_a_sharding_is_one_shard():
    staged = describe(("a", "b"), leaf(), np.dtype("float32"), "xxh3:0")
    assert ("a.b", (8, 6), (8, 6), None) == (staged.name, staged.shape, staged.write_shape, staged.sharding)


def test_a_sharded_array_has_a_devices_part_as_its_shard():
    staged = describe(("a",), leaf(sharding=SHARDED), np.dtype("float32"), "xxh3:0")
    assert ((4, 6), SHARDED) == (staged.write_shape, staged.sharding)


@pytest.mark.parametrize(("tile", "part"), [((3, 6), (3, 6)), ((6, 6), (4, 6)), ((8, 6), (4, 6))])
def test_a_tile_is_a_chunk_unless_it_reaches_beyond_its_shard(tile, part):
    staged = describe(("a",), leaf(sharding=SHARDED), np.dtype("float32"), "", tile=tile)
    assert (part, part) == (staged.write_shape, staged.chunk_shape)


def test_a_typed_key_is_stored_as_words():
    staged = describe(("k",), leaf("key<fry>"), dtypes.to_numpy("key<fry>"), "xxh3:0")
    assert ((8, 6, 2), "uint32", "threefry2x32") == (staged.shape, staged.dtype.name, staged.key_impl)


@pytest.mark.parametrize("zarr3", [False, True])
@pytest.mark.parametrize("codec", ["zstd:3", "gzip:6", "none"])
def test_tensorstore_creates_the_array_that_the_metadata_describe(zarr3, codec):
    staged = describe(("a",), leaf(sharding=SHARDED), np.dtype("float32"), "", tile=(2, 6))
    spec = {
        "driver": "zarr3" if zarr3 else "zarr",
        "kvstore": {"driver": "memory"},
        "metadata": array_metadata(staged, codec, zarr3=zarr3),
        "dtype": "float32",
    }
    store = ts.open(spec, create=True).result()
    assert ((8, 6), (2, 6)) == (store.shape, store.chunk_layout.read_chunk.shape)
    stored = str(store.codec.to_json())
    assert (codec == "none") != (codec.partition(":")[0] in stored)


def chosen(shape, outer, inner):
    return AbstractLeaf("array", AbstractArray(shape, "float32"), chunks=ChunkShapes(outer, inner))


def test_chunks_that_were_chosen_take_the_place_of_shards():
    leaf = replace(chosen((8, 6), (4, 6), (2, 3)), sharding=SHARDED)
    staged = describe(("a",), leaf, np.dtype("float32"), "xxh3:0")
    assert ((4, 6), (2, 3), SHARDED) == (staged.write_shape, staged.chunk_shape, staged.sharding)


def test_typed_keys_in_chosen_chunks_keep_their_words_together():
    leaf = AbstractLeaf("array", AbstractArray((8,), "key<fry>"), chunks=ChunkShapes((4,), (2,)))
    staged = describe(("k",), leaf, dtypes.to_numpy("key<fry>"), "xxh3:0")
    assert ((4, 2), (2, 2)) == (staged.write_shape, staged.chunk_shape)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(4, 4000), st.data())
def test_tiles_divide_chosen_chunks_evenly(sizes, limit, data):
    """No tile ends inside a shard, and every chunk that is written divides the one that was chosen."""
    shape, inner = tuple(sizes), tuple(data.draw(st.integers(1, size)) for size in sizes)
    times = [data.draw(st.integers(1, -(-size // edge))) for size, edge in zip(shape, inner, strict=True)]
    chunks = ChunkShapes(tuple(map(operator.mul, inner, times)), inner)
    leaf = chosen(shape, chunks.outer, inner)
    for tile in tile_shapes(leaf.aval, shape, limit, chunks):
        staged = describe(("a",), leaf, np.dtype("float32"), "", tile=tile)
        sides = zip(shape, tile, staged.write_shape, staged.chunk_shape, inner, strict=True)
        for size, extent, outer, chunk, wanted in sides:
            assert extent >= size or extent % outer == 0
            assert outer % chunk == 0
            assert wanted % chunk == 0
        assert math.prod(tile) * 4 <= max(limit, 4) or tile == shape
