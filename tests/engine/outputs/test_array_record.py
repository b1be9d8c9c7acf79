"""The record of an array before it is written; covers `outputs.zarr_metadata` as well."""

import numpy as np
import pytest
import tensorstore as ts

from migrate import dtypes
from migrate.engine.outputs.array_record import describe
from migrate.engine.outputs.zarr_metadata import array_metadata
from migrate.tree import AbstractArray, AbstractLeaf, Sharding

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
