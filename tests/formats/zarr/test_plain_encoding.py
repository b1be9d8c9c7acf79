"""Chunks are decoded as TensorStore decodes them, or left to it."""

import json

import numpy as np
import pytest
import tensorstore as ts
import zstandard

from migrate.formats.zarr.plain_encoding import PlainEncoding, plain_chunks, plain_encoding
from tests.damage import damages

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
ZSTD = {"name": "zstd", "configuration": {"level": 1}}
CRC32C = {"name": "crc32c"}
VALUES = np.arange(12, dtype=np.int16).reshape(3, 4) * 1001


def shard(*codecs, part=(3, 4)):
    fields = {"chunk_shape": list(part), "codecs": [LITTLE, *codecs], "index_codecs": [LITTLE, CRC32C]}
    return {"codecs": [{"name": "sharding_indexed", "configuration": fields}]}


PLAIN = {
    "zarr2 raw": ("zarr2", {"compressor": None}, PlainEncoding(sharded=False, compressed=False)),
    "zarr2": ("zarr2", {"compressor": {"id": "zstd", "level": 1}}, PlainEncoding(sharded=False, compressed=True)),
    "zarr3 raw": ("zarr3", {"codecs": [LITTLE]}, PlainEncoding(sharded=False, compressed=False)),
    "zarr3": ("zarr3", {"codecs": [LITTLE, ZSTD]}, PlainEncoding(sharded=False, compressed=True)),
    "shard raw": ("zarr3", shard(), PlainEncoding(sharded=True, compressed=False)),
    "shard": ("zarr3", shard(ZSTD), PlainEncoding(sharded=True, compressed=True)),
}


def stored(folder, driver, fields, values=VALUES):
    """Writes an array of one chunk; returns its metadata and its chunk."""
    shape = list(values.shape)
    if driver == "zarr2":
        fields = {"chunks": shape, "dtype": values.dtype.str, "fill_value": None, **fields}
    else:
        grid = {"name": "regular", "configuration": {"chunk_shape": shape}}
        fields = {"chunk_grid": grid, "data_type": values.dtype.name, **fields}
    spec = {
        "driver": {"zarr2": "zarr"}.get(driver, driver),
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "metadata": {"shape": shape, **fields},
        "store_data_equal_to_fill_value": True,
    }
    ts.open(spec, create=True).result().write(values).result()
    key = {"zarr2": "0.0", "zarr3": "c/0/0"}[driver]
    return (folder / {"zarr2": ".zarray", "zarr3": "zarr.json"}[driver]).read_bytes(), folder / key


@pytest.mark.parametrize("name", PLAIN)
def test_a_chunk_decodes_to_its_elements(tmp_path, name):
    driver, fields, encoding = PLAIN[name]
    metadata, file = stored(tmp_path, driver, fields)
    assert encoding == plain_encoding(metadata, driver)
    chunks = plain_chunks(metadata, driver)
    assert VALUES.nbytes == chunks.nbytes
    np.testing.assert_array_equal(VALUES.reshape(-1), chunks.decode(file.read_bytes()))


@pytest.mark.parametrize("name", PLAIN)
def test_a_damaged_chunk_is_not_decoded_or_has_the_elements_that_tensorstore_reads(tmp_path, name):
    driver, fields, _ = PLAIN[name]
    metadata, file = stored(tmp_path, driver, fields)
    chunks = plain_chunks(metadata, driver)
    array = ts.open({"driver": {"zarr2": "zarr"}.get(driver, driver), "kvstore": f"file://{tmp_path}/"}).result()
    for damage, content in damages(file.read_bytes()):
        file.write_bytes(content)
        found = chunks.decode(content)
        if found is not None:
            np.testing.assert_array_equal(array.read().result().reshape(-1), found, damage)


@pytest.mark.parametrize(
    "frame",
    [
        zstandard.compress(VALUES.tobytes()) + b"\0",
        zstandard.compress(VALUES.tobytes()) * 2,
        zstandard.compress(VALUES.tobytes() + b"\0"),
        zstandard.compress(VALUES.tobytes()[:-1]),
        zstandard.compress(bytes(1 << 20)),
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 20)),
    ],
    ids=["data behind it", "two frames", "a byte more", "a byte less", "much more", "much more without its size"],
)
def test_a_frame_of_other_content_is_not_decoded(tmp_path, frame):
    metadata, _ = stored(tmp_path, *PLAIN["zarr2"][:2])
    assert plain_chunks(metadata, "zarr2").decode(frame) is None


def test_a_frame_that_does_not_record_its_size_is_decoded(tmp_path):
    metadata, _ = stored(tmp_path, *PLAIN["zarr2"][:2])
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(VALUES.tobytes())
    np.testing.assert_array_equal(VALUES.reshape(-1), plain_chunks(metadata, "zarr2").decode(frame))


def test_a_byte_that_is_neither_false_nor_true_is_not_decoded(tmp_path):
    metadata, _ = stored(tmp_path, "zarr2", {"compressor": None}, np.array([[True, False]]))
    chunks = plain_chunks(metadata, "zarr2")
    assert [True, False] == chunks.decode(b"\1\0").tolist()
    assert chunks.decode(b"\1\2") is None


@pytest.mark.parametrize(
    ("driver", "fields"),
    [
        ("zarr2", {"compressor": None, "order": "F"}),
        ("zarr2", {"compressor": None, "dtype": ">i2"}),
        ("zarr2", {"compressor": {"id": "zlib", "level": 1}}),
        ("zarr3", {"codecs": [LITTLE, CRC32C]}),
        ("zarr3", {"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}]}),
        ("zarr3", shard(part=(3, 2))),
        ("zarr3", shard(CRC32C)),
    ],
    ids=str,
)
def test_other_encodings_are_left_to_tensorstore(tmp_path, driver, fields):
    metadata, _ = stored(tmp_path, driver, fields)
    assert plain_encoding(metadata, driver) is None
    assert plain_chunks(metadata, driver) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", json.dumps({"zarr_format": 2}).encode()])
def test_metadata_of_no_array_is_left_to_tensorstore(content):
    assert plain_chunks(content, "zarr2") is None
