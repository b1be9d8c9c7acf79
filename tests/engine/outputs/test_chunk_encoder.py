"""Chunks that are encoded without TensorStore have the keys that TensorStore gives them, and it reads their values."""

import ml_dtypes
import numpy as np
import pytest
import tensorstore as ts

from migrate.engine.outputs import chunk_encoder, orbax_store
from migrate.engine.outputs.array_record import describe
from migrate.engine.outputs.chunk_encoder import ChunkEncoder
from migrate.engine.outputs.orbax_store import Staging
from migrate.engine.outputs.zarr_metadata import array_metadata
from migrate.formats.detect import open_reader
from migrate.formats.zarr.metadata import TENSORSTORE_DRIVERS
from migrate.ops.base import avals
from migrate.tree import AbstractLeaf, ChunkShapes

RANDOM = np.random.default_rng(0)
VALUES = {
    "float32": RANDOM.standard_normal((70, 90), np.float32),
    "bfloat16": RANDOM.standard_normal((6, 20, 40), np.float32).astype(ml_dtypes.bfloat16),
    "bool": RANDOM.integers(0, 2, (1_201,)).astype(bool),
}
CHUNKS = {
    "rows": lambda shape: ChunkShapes((3, *shape[1:]), (3, *shape[1:])),
    "tiles": lambda shape: ChunkShapes((*(-(-size // 3) for size in shape),), (*(-(-size // 3) for size in shape),)),
    "shards": lambda shape: ChunkShapes((40, *shape[1:]), (8, *shape[1:])),
}


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(chunk_encoder, "LEAST_BYTES", 1)


def spec_of(value, chunks, codec, driver):
    leaf = AbstractLeaf("array", *avals(value), chunks=chunks)
    metadata = array_metadata(describe(("a",), leaf, value.dtype, ""), codec, zarr3=driver == "zarr3")
    return {"metadata": metadata, "dtype": value.dtype.name, "store_data_equal_to_fill_value": True}


def in_memory(spec, driver, **how):
    """An array in memory, and its store."""
    whole = {**spec, "driver": TENSORSTORE_DRIVERS[driver], "kvstore": {"driver": "memory"}}
    context = ts.Context()
    return ts.open(whole, context=context, **how).result(), ts.KvStore.open("memory://", context=context).result()


def encoded(value, spec, driver):
    encoder = ChunkEncoder(driver, 2)
    try:
        coming = encoder.begin(value, spec)
        return coming and coming.result()
    finally:
        encoder.close()


@pytest.mark.parametrize("codec", ["zstd:1", "zstd:-5", "zstd:0", "none"])
@pytest.mark.parametrize("driver", ["zarr2", "zarr3"])
@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("name", VALUES)
def test_tensorstore_reads_what_was_encoded_under_the_keys_that_it_writes(name, chunks, driver, codec):
    value = VALUES[name]
    spec = spec_of(value, CHUNKS[chunks](value.shape), codec, driver)
    written, expected = in_memory(spec, driver, create=True)
    written.write(value).result()
    found = encoded(value, spec, driver)
    keys = {key.decode() for key in expected.list().result()}
    assert keys == {found.metadata_key, *(key for key, _ in found.chunks)}
    assert expected.read(found.metadata_key).result().value == found.metadata
    if codec == "none":
        assert {key: len(expected.read(key).result().value) for key, _ in found.chunks} == {
            key: len(content) for key, content in found.chunks
        }
    _, store = again = in_memory(spec, driver, create=True)
    for key, content in found.chunks:
        store.write(key, content).result()
    assert value.tobytes() == again[0].read().result().tobytes()


@pytest.mark.parametrize("driver", ["zarr2", "zarr3"])
def test_other_codecs_and_dtypes_and_empty_arrays_are_left_to_tensorstore(driver):
    value = VALUES["float32"]
    chunks = CHUNKS["rows"](value.shape)
    assert encoded(value, spec_of(value, chunks, "gzip:4", driver), driver) is None
    nibbles = value.astype(ml_dtypes.int4)
    assert encoded(nibbles, spec_of(nibbles, chunks, "zstd:1", driver), driver) is None
    empty = np.zeros((0, 4))
    assert encoded(empty, spec_of(empty, ChunkShapes((1, 4), (1, 4)), "zstd:1", driver), driver) is None


def test_small_chunks_are_left_to_tensorstore(monkeypatch):
    value = VALUES["float32"]
    spec = spec_of(value, ChunkShapes((10, 90), (10, 90)), "zstd:1", "zarr2")
    for least, is_encoded in ((10 * 90 * 4, True), (10 * 90 * 4 + 1, False)):
        monkeypatch.setattr(chunk_encoder, "LEAST_BYTES", least)
        assert is_encoded == (encoded(value, spec, "zarr2") is not None)


def test_threads_encode_several_chunks_at_once(monkeypatch):
    monkeypatch.setattr(chunk_encoder, "_TASK_BYTES", 1)
    tasks, encode = [], chunk_encoder._encoded
    monkeypatch.setattr(chunk_encoder, "_encoded", lambda *task: tasks.append(task) or encode(*task))
    value = VALUES["float32"]
    encoded(value, spec_of(value, ChunkShapes((10, 90), (10, 90)), "zstd:1", "zarr2"), "zarr2")
    assert 7 == len(tasks)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("zarr3", [False, True])
def test_an_array_is_not_needed_once_it_was_written(tmp_path, monkeypatch, zarr3, plain):
    monkeypatch.setattr(orbax_store, "SMALL_BYTES", 0)
    value = VALUES["float32"].copy()
    leaf = AbstractLeaf("array", *avals(value), chunks=ChunkShapes((40, 90), (20, 30)))
    with Staging(tmp_path / "s", zarr3=zarr3, plain=plain) as store:
        store.write(("a",), leaf, value)
        value[:] = 0
    with open_reader(tmp_path / "s") as reader:
        assert np.array_equal(VALUES["float32"], reader.read(("a",)))
