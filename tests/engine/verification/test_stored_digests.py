"""Digests of stored arrays: the same whatever the chunks and however little is held at once."""

import math
import time
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.engine.streaming.array_bytes import digest
from migrate.engine.verification.stored_digests import slabs, stored_digests
from migrate.errors import CheckpointError
from migrate.formats.base import Location
from tests.matrix import examples

SHAPES = st.lists(st.integers(0, 6), max_size=4).map(tuple)


@st.composite
def grids(draw):
    """An array's shape with a chunk shape."""
    shape = draw(SHAPES)
    return shape, tuple(draw(st.integers(1, max(size, 1))) for size in shape)


def write(folder, name, array, chunks, driver="zarr2"):
    """An array in an OCDBT database, as Orbax lays it out; with its location."""
    kvstore = {"driver": "ocdbt", "base": f"file://{folder}/", "path": f"{name}/"}
    if driver == "zarr2":
        metadata = {"shape": array.shape, "chunks": chunks, "compressor": {"id": "zstd", "level": 1}}
    else:
        inner = {"chunk_shape": [1 for _ in chunks], "codecs": [{"name": "bytes"}]}
        metadata = {
            "shape": array.shape,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
            "codecs": [{"name": "sharding_indexed", "configuration": inner}],
        }
    spec = {"driver": {"zarr2": "zarr", "zarr3": "zarr3"}[driver], "kvstore": kvstore, "metadata": metadata}
    spec |= {"dtype": array.dtype.name, "store_data_equal_to_fill_value": True}
    ts.open(spec, create=True).result().write(array).result()
    return Location(folder, True, name, driver, False)


def digest_of(location, *, max_ram=1 << 20, largest_chunk=1, jobs=2):
    ((path, found),) = stored_digests({("x",): location}, largest_chunk=largest_chunk, max_ram=max_ram, jobs=jobs)
    assert ("x",) == path
    return str(found)


@given(grids(), st.integers(1, 64), st.sampled_from([1, 2, 8]))
def test_slabs_cover_an_array_in_c_order_within_the_limit(grid, limit, itemsize):
    shape, chunk = grid
    array = np.arange(math.prod(shape)).reshape(shape)
    parts = [array[tuple(slice(*side) for side in slab)] for slab in slabs(shape, chunk, itemsize, limit)]
    assert array.ravel().tolist() == [value for part in parts for value in np.ravel(part)]
    assert all(np.size(part) * itemsize <= max(limit, itemsize) for part in parts)


@given(grids(), st.integers(1, 400))
def test_slabs_end_where_chunks_end_if_a_row_of_chunks_fits(grid, limit):
    shape, chunk = grid
    if shape and math.prod(shape) > limit and chunk[0] * math.prod(shape[1:]) <= limit:
        ends = [slab[0][1] for slab in slabs(shape, chunk, 1, limit)]
        assert all(end % chunk[0] == 0 or end == shape[0] for end in ends)


@settings(max_examples=examples(25), deadline=None)
@given(grids(), st.sampled_from(["zarr2", "zarr3"]), st.integers(1, 500))
def test_a_stored_array_has_the_digest_of_its_values(tmp_path_factory, grid, driver, max_ram):
    shape, chunk = grid
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    location = write(tmp_path_factory.mktemp("store"), "w", array, chunk, driver)
    assert digest(array) == digest_of(location, max_ram=max_ram)


@pytest.mark.parametrize("dtype", ["bool", "int4", "bfloat16", "float8_e4m3fn", "complex64", "float64"])
def test_every_dtype_is_digested_as_numpy_holds_it(tmp_path, dtype):
    array = np.arange(6).reshape(2, 3).astype(getattr(ml_dtypes, dtype, dtype))
    assert digest(array) == digest_of(write(tmp_path, "w", array, (1, 3)))


def test_many_arrays_come_back_in_order(tmp_path):
    arrays = {(str(i),): np.full((4, 4), i, np.int32) for i in range(50)}
    places = {path: write(tmp_path, path[0], array, (2, 4)) for path, array in arrays.items()}
    found = list(stored_digests(places, largest_chunk=32, max_ram=1 << 20, jobs=3))
    assert [(path, digest(array)) for path, array in arrays.items()] == [(path, str(one)) for path, one in found]


def test_an_array_of_one_chunk_is_digested_without_a_copy_of_it_in_memory(tmp_path):
    array = np.random.default_rng(0).standard_normal(4 << 20, np.float32)
    location = write(tmp_path, "w", array, array.shape)
    meant = digest(array)
    tracemalloc.start()
    assert meant == digest_of(location, max_ram=1 << 30, largest_chunk=array.nbytes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < array.nbytes / 2


def test_a_large_chunk_leaves_room_for_one_reader_only(tmp_path):
    array = np.arange(1000, dtype=np.int32)
    location = write(tmp_path, "w", array, (1000,))
    assert digest(array) == digest_of(location, largest_chunk=4000, max_ram=64)


def test_a_lost_chunk_is_an_error_that_names_the_array(tmp_path):
    location = write(tmp_path, "kernel", np.ones((4, 4)), (2, 4))
    store = ts.KvStore.open({"driver": "ocdbt", "base": f"file://{tmp_path}/"}).result()
    store.write("kernel/1.0", None).result()
    with pytest.raises(CheckpointError, match="kernel"):
        digest_of(location)


def test_who_stops_listening_does_not_wait_for_the_rest(tmp_path, monkeypatch):
    location, read = write(tmp_path, "w", np.ones((4, 4)), (2, 4)), []

    def slow(arrays, place, share):
        read.append(place)
        time.sleep(0.05)
        return "xxh3:"

    monkeypatch.setattr("migrate.engine.verification.stored_digests._StoredArrays.digest", slow)
    found = stored_digests(dict.fromkeys(range(100), location), largest_chunk=1, max_ram=1 << 20, jobs=2)
    next(found)
    found.close()
    assert len(read) < 10
