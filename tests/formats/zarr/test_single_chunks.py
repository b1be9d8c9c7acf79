"""Arrays of one chunk are decoded without TensorStore, and equal what it decodes; covers `chunk_content`."""

import ml_dtypes
import numpy as np
import pytest
import tensorstore as ts

from migrate.errors import CheckpointError
from migrate.formats.base import Location
from migrate.formats.zarr.single_chunks import SLAB_BYTES, single_chunk
from migrate.formats.zarr.store import ZarrStore
from migrate.formats.zarr.store_spec import database_spec, folder_spec
from migrate.places.bucket_path import BucketPath

ZSTD = {"id": "zstd", "level": 1}
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
RANDOM = np.random.default_rng(0)
VALUES = {
    "float32": RANDOM.standard_normal((700, 900), np.float32),
    "bfloat16": RANDOM.standard_normal((3, 500, 400), np.float32).astype(ml_dtypes.bfloat16),
    "bool": RANDOM.integers(0, 2, (1_200_001,)).astype(bool),
    "int64": np.arange(12).reshape(3, 4),
    "number": np.array(7, np.int32),
}


def write(folder, value, *, driver="zarr2", database=True, chunks=None, compressor=ZSTD, shards=None):
    """Writes an array and returns its location; `shards` are those of zarr 3, around several chunks."""
    chunks = list(chunks or value.shape)
    if driver == "zarr2":
        metadata = {"chunks": chunks, "compressor": compressor}
    else:
        shard = {"chunk_shape": chunks, "codecs": [LITTLE, {"name": "zstd", "configuration": {"level": 1}}]}
        grid = {"name": "regular", "configuration": {"chunk_shape": list(shards or chunks)}}
        metadata = {"chunk_grid": grid, "codecs": [{"name": "sharding_indexed", "configuration": shard}]}
    spec = {
        "driver": {"zarr2": "zarr", "zarr3": "zarr3"}[driver],
        "kvstore": (database_spec if database else folder_spec)(folder, "a/"),
        "dtype": value.dtype.name,
        "metadata": {"shape": value.shape, **metadata},
        "store_data_equal_to_fill_value": True,
    }
    ts.open(spec, create=True).result().write(value).result()
    return Location(folder, database, "a", driver, fill_missing=False)


def read_by_tensorstore():
    """The bytes of files that TensorStore has read so far."""
    found = ts.experimental_collect_matching_metrics("/tensorstore/kvstore/file/bytes_read")
    return sum(value["value"] for metric in found for value in metric["values"])


@pytest.mark.parametrize("database", [True, False])
@pytest.mark.parametrize(("driver", "compressor"), [("zarr2", ZSTD), ("zarr2", None), ("zarr3", ZSTD)])
@pytest.mark.parametrize("name", VALUES)
def test_an_array_of_one_chunk_has_the_values_that_were_written(tmp_path, name, driver, compressor, database):
    value = VALUES[name]
    if not value.shape and driver == "zarr3":
        pytest.skip("a shard has at least one dimension")
    chunk = single_chunk(write(tmp_path, value, driver=driver, database=database, compressor=compressor))
    found = chunk.read()
    assert (value.dtype, value.shape, value.tobytes()) == (found.dtype, found.shape, found.tobytes())
    slabs = [slab.tobytes() for slab in chunk.slabs()]
    assert value.tobytes() == b"".join(slabs)
    assert max(len(slab) for slab in slabs) <= SLAB_BYTES


@pytest.mark.parametrize(
    ("value", "how"),
    [
        (np.ones((4, 4)), {"chunks": (2, 4)}),
        (np.ones((4, 4)), {"chunks": (5, 4)}),
        (np.ones((0, 4)), {"chunks": (1, 4)}),
        (np.ones((4, 4)), {"compressor": {"id": "zlib", "level": 1}}),
    ],
    ids=["several chunks", "a larger chunk", "no element", "another codec"],
)
def test_other_arrays_are_left_to_tensorstore(tmp_path, value, how):
    assert single_chunk(write(tmp_path, value, **how)) is None


def test_arrays_in_buckets_are_left_to_tensorstore():
    assert single_chunk(Location(BucketPath("gs://bucket/a"), True, "a", "zarr2", fill_missing=False)) is None


@pytest.mark.parametrize("content", [None, b"", b"no frame"], ids=["missing", "empty", "damaged"])
def test_a_chunk_that_cannot_be_decoded_is_left_to_tensorstore(tmp_path, content):
    location = write(tmp_path, VALUES["float32"], database=False)
    chunk = single_chunk(location)
    (tmp_path / "a" / "0.0").unlink()
    if content is not None:
        (tmp_path / "a" / "0.0").write_bytes(content)
    assert chunk.read() is None
    with pytest.raises(CheckpointError):
        list(chunk.slabs())


def test_a_chunk_that_is_cut_off_yields_no_last_slab(tmp_path):
    location = write(tmp_path, VALUES["float32"], database=False)
    file = tmp_path / "a" / "0.0"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError):
        list(single_chunk(location).slabs())


@pytest.mark.parametrize("database", [True, False])
def test_a_checkpoint_reads_arrays_of_one_chunk_without_tensorstore(tmp_path, database):
    write(tmp_path, VALUES["float32"], database=database)
    store = ZarrStore(tmp_path)
    store.metadata(["a"])
    before = read_by_tensorstore()
    assert np.array_equal(VALUES["float32"], store.read("a", fill_missing=False))
    assert before == read_by_tensorstore()
