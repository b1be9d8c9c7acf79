"""Arrays of several chunks are decoded without TensorStore, and equal what it decodes."""

import shutil

import ml_dtypes
import numpy as np
import pytest

from migrate.errors import CheckpointError
from migrate.formats.base import Location
from migrate.formats.zarr import chunked_arrays as module
from migrate.formats.zarr.chunked_arrays import chunked_array
from migrate.formats.zarr.store import ZarrStore
from migrate.places.bucket_path import BucketPath
from tests.formats.zarr.test_single_chunks import ZSTD, read_by_tensorstore, write

RANDOM = np.random.default_rng(0)
MATRIX = RANDOM.standard_normal((70, 90), np.float32)
VALUES = {
    "float32": RANDOM.standard_normal((20, 30), np.float32),
    "bfloat16": RANDOM.standard_normal((7, 5, 40), np.float32).astype(ml_dtypes.bfloat16),
    "bool": RANDOM.integers(0, 2, (41,)).astype(bool),
}
CHUNKS = {
    "rows": lambda shape: (3, *shape[1:]),
    "columns": lambda shape: (*shape[:-1], 13),
    "tiles": lambda shape: tuple(-(-size // 3) for size in shape),
    "larger": lambda shape: (2, *(size + 1 for size in shape[1:])),
}


@pytest.fixture(autouse=True, params=[1, 1 << 20], ids=["one by one", "some at once"])
def any_size(monkeypatch, request):
    monkeypatch.setattr(module, "LEAST_BYTES", 1)
    monkeypatch.setattr(module, "_TASK_BYTES", request.param)


@pytest.mark.parametrize("database", [True, False])
@pytest.mark.parametrize(("driver", "compressor"), [("zarr2", ZSTD), ("zarr2", None), ("zarr3", ZSTD)])
@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("name", VALUES)
def test_an_array_has_the_values_that_were_written(tmp_path, name, chunks, driver, compressor, database):
    value = VALUES[name]
    shape = CHUNKS[chunks](value.shape)
    location = write(tmp_path, value, driver=driver, database=database, compressor=compressor, chunks=shape)
    found = chunked_array(location)
    whole = found.read()
    assert (value.dtype, value.shape, value.tobytes()) == (whole.dtype, whole.shape, whole.tobytes())
    rows = [row.tobytes() for row in found.rows()]
    assert value.tobytes() == b"".join(rows)
    assert max(len(row) for row in rows) <= found.row_bytes


@pytest.mark.parametrize("database", [True, False])
@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("name", VALUES)
def test_the_inner_chunks_of_shards_are_chunks(tmp_path, name, chunks, database):
    value = VALUES[name]
    inner = CHUNKS[chunks](value.shape)
    shards = [2 * size for size in inner]
    location = write(tmp_path, value, driver="zarr3", database=database, chunks=inner, shards=shards)
    found = chunked_array(location)
    assert (inner, tuple(shards)) == (found.chunks, found.shard)
    before = read_by_tensorstore()
    assert value.tobytes() == found.read().tobytes()
    assert value.tobytes() == b"".join(row.tobytes() for row in found.rows())
    assert before == read_by_tensorstore()


@pytest.mark.parametrize("place", [-1, -30, 3], ids=["checksum", "index", "chunk"])
def test_a_damaged_shard_is_left_to_tensorstore(tmp_path, place):
    location = write(tmp_path, MATRIX, driver="zarr3", database=False, chunks=(10, 90), shards=(40, 90))
    file = tmp_path / "a" / "c" / "0" / "0"
    content = bytearray(file.read_bytes())
    content[place] ^= 0xFF
    file.write_bytes(content)
    assert chunked_array(location).read() is None


def test_a_shard_that_is_written_again_is_read_again(tmp_path):
    for value in (MATRIX, MATRIX[::-1].copy()):
        location = write(tmp_path, value, driver="zarr3", database=False, chunks=(10, 90), shards=(40, 90))
        assert np.array_equal(value, chunked_array(location).read())
        shutil.rmtree(tmp_path / "a")


@pytest.mark.parametrize(
    ("value", "how"),
    [
        (MATRIX, {}),
        (MATRIX, {"chunks": (80, 90)}),
        (np.ones((0, 4)), {"chunks": (1, 4)}),
        (MATRIX, {"chunks": (10, 90), "compressor": {"id": "zlib", "level": 1}}),
    ],
    ids=["one chunk", "a larger chunk", "no element", "another codec"],
)
def test_other_arrays_are_left_to_others(tmp_path, value, how):
    assert chunked_array(write(tmp_path, value, **how)) is None


def test_tiny_chunks_are_left_to_tensorstore(tmp_path, monkeypatch):
    location = write(tmp_path, MATRIX, chunks=(10, 90))
    for least, is_large in ((10 * 90 * 4, True), (10 * 90 * 4 + 1, False)):
        monkeypatch.setattr(module, "LEAST_BYTES", least)
        assert is_large == (chunked_array(location) is not None)


def test_a_chunk_that_is_not_stored_means_zeros_where_the_checkpoint_allows_it(tmp_path):
    write(tmp_path, MATRIX, database=False, chunks=(30, 50))
    (tmp_path / "a" / "1.1").unlink()
    store = ZarrStore(tmp_path)
    store.metadata(["a"])
    expected = MATRIX.copy()
    expected[30:60, 50:] = 0
    assert np.array_equal(expected, store.read("a", fill_missing=True))


def test_arrays_in_buckets_are_left_to_tensorstore():
    assert chunked_array(Location(BucketPath("gs://bucket/a"), True, "a", "zarr2", fill_missing=False)) is None


@pytest.mark.parametrize("content", [None, b"", b"no frame"], ids=["missing", "empty", "damaged"])
def test_a_chunk_that_cannot_be_decoded_is_left_to_tensorstore(tmp_path, content):
    found = chunked_array(write(tmp_path, MATRIX, database=False, chunks=(30, 50)))
    (tmp_path / "a" / "1.1").unlink()
    if content is not None:
        (tmp_path / "a" / "1.1").write_bytes(content)
    assert found.read() is None
    with pytest.raises(CheckpointError):
        list(found.rows())


@pytest.mark.parametrize("database", [True, False])
def test_a_checkpoint_reads_arrays_of_several_chunks_without_tensorstore(tmp_path, database):
    write(tmp_path, MATRIX, database=database, chunks=(30, 50))
    store = ZarrStore(tmp_path)
    store.metadata(["a"])
    before = read_by_tensorstore()
    assert np.array_equal(MATRIX, store.read("a", fill_missing=False))
    assert before == read_by_tensorstore()
