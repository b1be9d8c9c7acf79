"""The staging store: chunks of a bounded size, shards that are the target's, durable before anybody is told."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate import dtypes
from migrate.engine.items import stored_name
from migrate.engine.outputs.orbax_store import BATCH_ARRAYS, Staging
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.array_bytes import Digest, contiguous, digest
from migrate.engine.streaming.chunk_shapes import chunk_shape
from migrate.formats.detect import open_reader
from migrate.ops.base import avals
from migrate.tree import AbstractLeaf, Sharding


def leaf_of(array, **options):
    return AbstractLeaf("array", *avals(array), **options)


@given(st.lists(st.integers(1, 4096), max_size=4), st.sampled_from([1, 2, 4, 8]), st.integers(64, 1 << 24))
def test_chunks_divide_the_shard_and_stay_below_the_limit(shard, itemsize, limit):
    chunk = chunk_shape(tuple(shard), itemsize, limit)
    assert len(shard) == len(chunk)
    assert all(size % part == 0 for size, part in zip(shard, chunk, strict=True))
    assert int(np.prod(chunk, dtype=object)) * itemsize <= max(limit, itemsize)


def test_a_shard_below_the_limit_is_one_chunk():
    assert (4096, 4096) == chunk_shape((4096, 4096), 4)


@pytest.mark.parametrize(
    ("shard", "square", "chunk"),
    [
        ((48, 4096, 4096), False, (3, 4096, 4096)),  # a few layers, each whole
        ((50257, 1600), False, (50257, 800)),  # 50257 is a prime
        ((3579, 31250), True, (1193, 15625)),  # 1193 is a prime
    ],
)
def test_a_chunk_is_a_slab_or_a_square_and_never_far_smaller_than_it_may_be(shard, square, chunk):
    assert chunk == chunk_shape(shard, 4, 256 << 20 if not square else 128 << 20, square=square)


def test_a_digest_is_that_of_the_bytes_whatever_the_layout():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert digest(array) == digest(np.asfortranarray(array))
    assert digest(array) == digest(array.astype(">f4"))
    assert digest(array) != digest(array.T)


def test_a_digest_of_slabs_is_that_of_the_whole():
    array = np.arange(24, dtype=np.float32).reshape(6, 4)
    parts = Digest()
    for start in range(0, 6, 2):
        parts.update(array[start : start + 2])
    assert digest(array) == str(parts)


@pytest.mark.parametrize("shape", [(), (3,), (130, 67), (5, 6, 70), (0, 3)])
def test_an_array_in_another_order_is_laid_out_anew(shape):
    array = np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape).T
    laid_out = contiguous(array)
    assert laid_out.flags.c_contiguous
    assert array.shape == laid_out.shape
    assert np.array_equal(array, laid_out)


@pytest.mark.parametrize(("box", "name"), [(None, "a.b"), ("value", "a.b.value")])
def test_stored_names_are_orbaxs(box, name):
    assert name == stored_name(("a", "b"), AbstractLeaf("array", box=box))


@pytest.mark.parametrize(
    "sharding", [None, Sharding((("x", 2), ("y", 4)), (("x", "y"), None)), Sharding((("x", -1),), ())]
)
def test_a_staged_array_comes_back_from_json(sharding):
    bfloat16 = dtypes.to_numpy("bfloat16")
    staged = StagedArray("a.b", (8, 4), bfloat16, (1, 4), (1, 2), "threefry2x32", "xxh3:0", sharding)
    assert staged == StagedArray.from_json(json.loads(json.dumps(staged.to_json())))


def read_all(directory):
    with open_reader(directory) as reader:
        return {path[0]: reader.read(path) for path in reader.abstract().tree.leaves}


@pytest.mark.parametrize("zarr3", [False, True])
def test_nobody_is_told_before_the_array_can_be_read(tmp_path, zarr3):
    told = []

    def done(staged):
        assert np.array_equal(np.arange(6.0), read_all(tmp_path / "s")["a"])
        told.append(staged.name)

    with Staging(tmp_path / "s", zarr3=zarr3) as store:
        array = np.arange(6.0)
        store.write(("a",), leaf_of(array), array, done=done)
        assert [] == told
        store.flush()
        assert ["a"] == told


def test_a_failed_run_tells_nobody(tmp_path):
    told = []

    def fail():
        with Staging(tmp_path / "s", zarr3=False) as store:
            store.write(("a",), leaf_of(np.zeros(3)), np.zeros(3), done=told.append)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [] == told


def test_small_arrays_share_transactions(tmp_path):
    told, heard_before_the_last = [], None
    with Staging(tmp_path / "s", zarr3=False) as store:
        for number in range(BATCH_ARRAYS):
            heard_before_the_last = len(told)
            store.write((str(number),), leaf_of(np.zeros(3)), np.full(3, number, np.float64), done=told.append)
        assert (0, BATCH_ARRAYS) == (heard_before_the_last, len(told))
    # TensorStore may write the index more than once on the way; how often depends on how busy the machine is.
    assert len(list((tmp_path / "s" / "d").iterdir())) < BATCH_ARRAYS // 16
    assert np.array_equal(np.full(3, 77.0), read_all(tmp_path / "s")["77"])


@pytest.mark.parametrize("zarr3", [False, True])
def test_a_store_that_is_there_is_continued_and_what_was_not_noted_is_replaced(tmp_path, zarr3):
    first, second = np.arange(6.0).reshape(2, 3), np.arange(3.0)
    with Staging(tmp_path / "s", zarr3=zarr3) as store:
        store.write(("a",), leaf_of(first), first)
        store.write(("b",), leaf_of(first), first)
    with Staging(tmp_path / "s", zarr3=zarr3) as store:
        store.write(("b",), leaf_of(second), second)
        write = store.tiled(("a",), leaf_of(second), (2,))
        write.write([0], second[:2])
        write.write([2], second[2:])
        write.finish(digest(second))
    found = read_all(tmp_path / "s")
    assert np.array_equal(second, found["a"])
    assert np.array_equal(second, found["b"])


@pytest.mark.parametrize("zarr3", [False, True])
@pytest.mark.parametrize(
    ("compression", "codec", "stored"),
    [
        (None, None, "zstd:1"),
        (None, "zstd:3", "zstd:3"),
        (None, "gzip:4", "gzip:4"),
        (None, "none", None),
        ("none", "zstd:3", None),
        ("zstd:2", "none", "zstd:2"),
    ],
)
def test_the_codec_is_the_sources_unless_another_was_asked_for(tmp_path, zarr3, compression, codec, stored):
    array = np.arange(6.0)
    with Staging(tmp_path / "s", zarr3=zarr3, compression=compression) as store:
        store.write(("a",), leaf_of(array), array, codec=codec)
    with open_reader(tmp_path / "s") as reader:
        assert stored == reader.abstract().tree.leaves[("a",)].storage.codec
        assert np.array_equal(array, reader.read(("a",)))


@pytest.mark.parametrize("zarr3", [False, True])
@pytest.mark.parametrize("tile", [(3, 4), (1, 4), (4, 4)])
def test_an_array_of_tiles_reads_as_one(tmp_path, zarr3, tile):
    array = np.arange(28, dtype=np.float32).reshape(7, 4)
    with Staging(tmp_path / "s", zarr3=zarr3) as store:
        write = store.tiled(("a",), leaf_of(array), tile)
        for start in range(0, 7, tile[0]):
            write.write([start, 0], array[start : start + tile[0]])
        staged = write.finish(digest(array))
    assert tile == staged.chunk_shape
    assert digest(array) == staged.digest
    assert np.array_equal(array, read_all(tmp_path / "s")["a"])


def test_no_chunk_of_a_tiled_array_reaches_into_another_shard(tmp_path):
    array = np.zeros((8, 4), np.float32)
    leaf = leaf_of(array, sharding=Sharding((("x", 2),), (None, ("x",))))
    with Staging(tmp_path / "s", zarr3=False) as store:
        staged = store.tiled(("a",), leaf, (2, 4)).finish("")
    assert (2, 2) == staged.chunk_shape
