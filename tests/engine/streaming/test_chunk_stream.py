"""Large chunks are decoded as streams, and every part equals what TensorStore decodes."""

import struct
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore as ts
import zstandard

from migrate import dtypes
from migrate.engine.linking.open_stores import open_array, reading_context
from migrate.engine.streaming.array_sources import ChunkSource, open_source
from migrate.engine.streaming.chunk_stream import streamable
from migrate.errors import CheckpointError
from migrate.formats.base import Location
from migrate.formats.zarr.crc32c import crc32c
from migrate.tree import AbstractArray
from tests.damage import REFUSED, damages, outcome
from tests.engine.sources import opened

RANDOM = np.random.default_rng(0)
TREE = jax.device_put(
    {
        "matrix": RANDOM.standard_normal((57, 33), np.float32),
        "half": np.arange(4000.0).astype(jnp.bfloat16).reshape(10, 20, 20),
        "vector": np.arange(1001, dtype=np.int32),
        "keys": jax.random.wrap_key_data(RANDOM.integers(0, 1 << 32, (40, 2), np.uint32)),
        "bytes": np.arange(256, dtype=np.uint8),
    }
)
LAYOUTS = {"ocdbt zarr2": (True, False), "ocdbt zarr3": (True, True), "plain zarr2": (False, False)}


@pytest.fixture(scope="module", params=LAYOUTS.values(), ids=LAYOUTS)
def source(request, tmp_path_factory):
    ocdbt, zarr3 = request.param
    path = tmp_path_factory.mktemp("packed") / "old"
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt, use_zarr3=zarr3)) as checkpointer:
        checkpointer.save(path, args=ocp.args.PyTreeSave(TREE))
    return path


def stream_of(reader, name):
    aval = reader.abstract().tree.leaves[(name,)].aval
    return streamable(open_source(reader, (name,), aval, reading_context(0)), 0)


@pytest.mark.parametrize("limit", [1, 100, 700, 1 << 20])
@pytest.mark.parametrize("name", TREE)
def test_the_parts_together_are_the_array(source, name, limit):
    with opened(source) as reader:
        whole = reader.read((name,))
        decoded = np.zeros_like(whole)
        stream = stream_of(reader, name)
        for window, part in stream.parts(limit):
            assert part.shape[1:] == stream.block(limit)[1:]
            decoded[tuple(slice(start, stop) for start, stop in window)] = part
        assert whole.tobytes() == decoded.tobytes()


def test_small_limits_give_small_parts(source):
    with opened(source) as reader:
        parts = [part for _, part in stream_of(reader, "matrix").parts(700)]
    assert 5 * 33 * 4 == max(part.nbytes for part in parts)


def test_elements_of_less_than_a_byte_are_left_to_tensorstore(tmp_path):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "old", {"a": jnp.arange(8, dtype=jnp.int4)})
    with opened(tmp_path / "old") as reader:
        assert stream_of(reader, "a") is None


def test_a_truncated_chunk_is_refused(tmp_path):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave(TREE))
    chunk = tmp_path / "old" / "matrix" / "0.0"
    chunk.write_bytes(chunk.read_bytes()[:-40])
    with opened(tmp_path / "old") as reader, pytest.raises(CheckpointError):
        list(stream_of(reader, "matrix").parts(700))


BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
ZSTD = {"name": "zstd", "configuration": {"level": 1}}
CRC32C = {"name": "crc32c"}
VALUES = (np.arange(24, dtype=np.int16) * 1001).reshape(6, 4)
"""Two chunks of four rows; the second reaches two rows beyond the array."""


def sharded(*codecs):
    parts = {"chunk_shape": [4, 4], "codecs": [BYTES, *codecs], "index_codecs": [BYTES, CRC32C]}
    return {"codecs": [{"name": "sharding_indexed", "configuration": parts}]}


SMALL = {
    "zarr2": ("zarr2", {"compressor": None}),
    "zarr2 zstd": ("zarr2", {"compressor": {"id": "zstd", "level": 1}}),
    "zarr3": ("zarr3", {"codecs": [BYTES]}),
    "zarr3 zstd": ("zarr3", {"codecs": [BYTES, ZSTD]}),
    "zarr3 shard": ("zarr3", sharded()),
    "zarr3 shard zstd": ("zarr3", sharded(ZSTD)),
}


def stored(base, driver, fields, values=VALUES):
    """Writes an array in chunks of four rows and returns its location."""
    chunks = [min(4, size) for size in values.shape]
    if driver == "zarr2":
        fields = {"chunks": chunks, "fill_value": None, **fields}
    else:
        fields = {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}}, **fields}
    dtype = dtypes.from_numpy(values.dtype)
    typed = {"dtype": values.dtype.str} if driver == "zarr2" else {"data_type": dtype}
    spec = {
        "driver": {"zarr2": "zarr"}.get(driver, driver),
        "kvstore": f"file://{base}/a/",
        "metadata": {"shape": values.shape, **typed, **fields},
        "store_data_equal_to_fill_value": True,
    }
    ts.open(spec, create=True).result().write(values).result()
    return Location(base, ocdbt=False, name="a", driver=driver, fill_missing=False)


def chunk_file(location, row):
    key = {"zarr2": f"{row}.0", "zarr3": f"c/{row}/0"}[location.driver]
    return location.base / "a" / key


def by_tensorstore(location):
    return open_array(location, reading_context(0)).read().result().tobytes()


def source_of(location):
    store = open_array(location, reading_context(0))
    aval = AbstractArray(store.shape, dtypes.from_numpy(store.dtype.numpy_dtype))
    return ChunkSource(aval, store.chunk_layout.read_chunk.shape, store, location.base, location.name, location)


def in_parts(location):
    source = source_of(location)
    decoded = np.zeros(source.aval.shape, dtypes.to_numpy(source.aval.dtype))
    for window, part in streamable(source, 0).parts(16):
        decoded[tuple(slice(start, stop) for start, stop in window)] = part
    return decoded.tobytes()


def both(location):
    return outcome(lambda: by_tensorstore(location), ValueError), outcome(lambda: in_parts(location))


ROWS = [(name, row) for number, name in enumerate(SMALL) for row in ((0, 1) if number % 2 else (1, 0))]
"""Encodings, each with the row of a full chunk and with that of a chunk at the edge."""


@pytest.mark.sample(2)
@pytest.mark.parametrize(("name", "row"), ROWS)
def test_a_damaged_chunk_is_refused_or_what_tensorstore_reads_and_never_wrong(tmp_path, name, row):
    location = stored(tmp_path, *SMALL[name])
    assert [VALUES.tobytes()] * 2 == [*both(location)]
    file = chunk_file(location, row)
    for damage, content in damages(file.read_bytes()):
        file.write_bytes(content)
        expected, found = both(location)
        assert found in (expected, REFUSED), damage


def test_a_damaged_frame_with_a_checksum_is_refused_wherever_the_damage_is(tmp_path):
    location = stored(tmp_path, *SMALL["zarr2 zstd"])
    file = chunk_file(location, 0)
    compressor = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False)
    whole = compressor.compress(VALUES[:4].tobytes())
    for damage, content in [("nothing", whole), *damages(whole)]:
        file.write_bytes(content)
        expected, found = both(location)
        assert found in (expected, REFUSED), damage
        assert found in (VALUES.tobytes(), REFUSED), damage
        assert (found is REFUSED) == (expected is REFUSED), damage


def with_index(part, offset, size, *, checksum=0):
    index = struct.pack("<QQ", offset, size)
    return part + index + struct.pack("<I", crc32c(index) ^ checksum)


NEVER = (1 << 64) - 1


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ((0, 32, 1), "M404"),  # another checksum
        ((4, 32), "M404"),  # into the index
        ((21, 32), "M404"),  # past the end
        ((1 << 63, 1 << 63), "M404"),
        ((NEVER, 32), "M404"),
        ((0, NEVER), "M404"),
        ((0, 31), "M404"),  # too few bytes for the shape
        ((NEVER, NEVER), "M403"),  # never written
    ],
)
def test_an_impossible_index_is_refused_and_names_the_file_and_the_leaf(tmp_path, entry, code):
    location = stored(tmp_path, *SMALL["zarr3 shard"])
    file, part = chunk_file(location, 0), VALUES[:4].tobytes()
    file.write_bytes(with_index(part, 0, 32))
    assert VALUES.tobytes() == in_parts(location)
    file.write_bytes(with_index(part, *entry[:2], checksum=sum(entry[2:])))
    with pytest.raises(CheckpointError) as caught:
        in_parts(location)
    (found,) = caught.value.diagnostics
    assert (code, ("a",)) == (found.code, tuple(found.paths))
    assert f"`{file}`" in found.message


def test_an_inner_chunk_may_begin_after_the_start_of_its_shard(tmp_path):
    location = stored(tmp_path, *SMALL["zarr3 shard"])
    chunk_file(location, 0).write_bytes(with_index(b"gap" + VALUES[:4].tobytes(), 3, 32))
    assert [VALUES.tobytes()] * 2 == [*both(location)]


@pytest.mark.parametrize(
    "encoded",
    [
        zstandard.compress(VALUES[:4].tobytes() + b"\0"),
        zstandard.compress(VALUES[:2].tobytes()) + zstandard.compress(VALUES[2:4].tobytes()),
        b"\x50\x2a\x4d\x18\0\0\0\0" + zstandard.compress(VALUES[:4].tobytes()),
    ],
    ids=["longer than a chunk", "two frames", "behind a skippable frame"],
)
@pytest.mark.parametrize("row", [0, 1])
def test_a_stream_that_is_not_one_chunk_is_refused(tmp_path, encoded, row):
    location = stored(tmp_path, *SMALL["zarr3 zstd"])
    chunk_file(location, row).write_bytes(encoded)
    assert (REFUSED, REFUSED) == both(location)


@pytest.mark.parametrize("driver", ["zarr2", "zarr3"])
def test_a_byte_that_is_neither_false_nor_true_is_refused(tmp_path, driver):
    values = np.array([[False, True, True, False]] * 4)
    location = stored(tmp_path, *SMALL[driver], values)
    assert [values.tobytes()] * 2 == [*both(location)]
    chunk_file(location, 0).write_bytes(b"\0\1\2\0" * 4)
    assert (REFUSED, REFUSED) == both(location)


@pytest.mark.parametrize(
    ("driver", "fields"),
    [
        ("zarr2", {"compressor": None, "order": "F"}),
        ("zarr2", {"compressor": None, "dimension_separator": "/"}),
        ("zarr2", {"compressor": None, "dtype": ">i2"}),
        ("zarr2", {"compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}}),
        ("zarr2", {"compressor": {"id": "zlib", "level": 1}}),
        ("zarr3", {"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}]}),
        ("zarr3", {"codecs": [{"name": "transpose", "configuration": {"order": [1, 0]}}, BYTES]}),
        ("zarr3", {"codecs": [BYTES, CRC32C]}),
        ("zarr3", {"codecs": [BYTES, ZSTD, CRC32C]}),
        ("zarr3", {"codecs": [BYTES, {"name": "gzip", "configuration": {"level": 1}}]}),
        ("zarr3", {"codecs": [BYTES], "chunk_key_encoding": {"name": "v2"}}),
        ("zarr3", {"codecs": [BYTES], "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}}}),
        ("zarr3", sharded(CRC32C)),
        ("zarr3", sharded(ZSTD, CRC32C)),
    ],
    ids=str,
)
def test_other_encodings_are_left_to_tensorstore(tmp_path, driver, fields):
    assert streamable(source_of(stored(tmp_path, driver, fields)), 0) is None


def test_an_array_whose_absent_chunks_are_zeros_is_left_to_tensorstore(tmp_path):
    location = stored(tmp_path, *SMALL["zarr2"])
    assert streamable(source_of(location), 0) is not None
    assert streamable(source_of(replace(location, fill_missing=True)), 0) is None
