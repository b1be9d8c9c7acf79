"""The staging store: chunks of a bounded size, shards that are the target's, durable before anybody is told."""

import threading

import numpy as np
import pytest

from migrate.engine.outputs.orbax_store import BATCH_ARRAYS, Staging
from migrate.engine.streaming.array_bytes import digest
from migrate.formats.detect import open_reader
from migrate.ops.base import avals
from migrate.tree import AbstractLeaf, Sharding


def leaf_of(array, **options):
    return AbstractLeaf("array", *avals(array), **options)


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
    told, heard_before_the_last, all_told = [], None, threading.Event()

    def done(staged):
        told.append(staged)
        if len(told) == BATCH_ARRAYS:
            all_told.set()

    with Staging(tmp_path / "s", zarr3=False) as store:
        for number in range(BATCH_ARRAYS):
            heard_before_the_last = len(told)
            store.write((str(number),), leaf_of(np.zeros(3)), np.full(3, number, np.float64), done=done)
        assert all_told.wait(60)
        assert 0 == heard_before_the_last
    # TensorStore may write the index more than once on the way; how often depends on how busy the machine is.
    assert len(list((tmp_path / "s" / "d").iterdir())) < BATCH_ARRAYS // 16
    assert np.array_equal(np.full(3, 77.0), read_all(tmp_path / "s")["77"])


def test_what_transactions_write_does_not_grow_with_the_database(tmp_path):
    random, leaves = np.random.default_rng(0), 20_000
    arrays = random.standard_normal((leaves, 16, 16), dtype=np.float32)
    with Staging(tmp_path / "s", zarr3=False) as store:
        for at, array in enumerate(arrays):
            path = ("params", f"block_{at * 10 // leaves}", f"w_{at % (leaves // 10)}", "kernel")
            store.write(path, leaf_of(array), array)
            if at % 1_000 == 0:
                store.flush()  # as the pipeline does with a small budget
    written = sum(file.stat().st_size for file in (tmp_path / "s").rglob("*") if file.is_file())
    assert written <= 3 * arrays.nbytes


def fill_a_batch(store, done):
    for number in range(BATCH_ARRAYS):
        store.write((str(number),), leaf_of(np.zeros(3)), np.full(3, number, np.float64), done=done)


def test_arrays_are_written_while_a_batch_becomes_durable(tmp_path):
    written, in_time = threading.Event(), []
    with Staging(tmp_path / "s", zarr3=False) as store:
        fill_a_batch(store, lambda _: in_time.append(written.wait(60)))
        store.write(("next",), leaf_of(np.zeros(3)), np.ones(3))
        written.set()
    assert {True} == set(in_time)
    assert BATCH_ARRAYS + 1 == len(read_all(tmp_path / "s"))


def test_a_batch_that_does_not_become_durable_fails_the_next_flush_and_the_store(tmp_path):
    def fail(_):
        raise OSError("no space")

    def flush_twice():
        with Staging(tmp_path / "s", zarr3=False) as store:
            fill_a_batch(store, fail)
            with pytest.raises(OSError, match="no space"):
                store.flush()

    with pytest.raises(OSError, match="no space"):
        flush_twice()


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
        ("zstd:-5", "zstd:3", "zstd:-5"),
        ("zstd:0", None, "zstd:0"),
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
