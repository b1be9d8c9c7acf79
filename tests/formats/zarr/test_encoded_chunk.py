"""An encoded chunk that was cut off is detected without decoding it, for every codec; a whole one never is."""

import json

import numpy as np
import pytest
import tensorstore as ts

from migrate.formats.zarr.encoded_chunk import refuse_incomplete

RANDOM = np.random.default_rng(0).integers(0, 1 << 15, (64, 96)).astype(np.uint16)
LARGE = np.random.default_rng(0).standard_normal((300, 400))
"""Several blocks of zstd."""


def zarr2(compressor):
    return {"driver": "zarr", "metadata": {"compressor": compressor}}


def zarr3(*codecs):
    return {"driver": "zarr3", "metadata": {"codecs": list(codecs)}}


BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
ZSTD = {"name": "zstd", "configuration": {"level": 1}}
SHARDED = {
    "name": "sharding_indexed",
    "configuration": {"chunk_shape": [1, 1], "codecs": [BYTES, ZSTD], "index_codecs": [BYTES, {"name": "crc32c"}]},
}
ENCODINGS = {
    "zarr2 raw": zarr2(None),
    "zarr2 zstd": zarr2({"id": "zstd", "level": 1}),
    "zarr2 blosc": zarr2({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}),
    "zarr2 zlib": zarr2({"id": "zlib", "level": 1}),
    "zarr2 gzip": zarr2({"id": "gzip", "level": 1}),
    "zarr2 bz2": zarr2({"id": "bz2", "level": 1}),
    "zarr3 raw": zarr3(BYTES),
    "zarr3 zstd": zarr3(BYTES, ZSTD),
    "zarr3 gzip": zarr3(BYTES, {"name": "gzip", "configuration": {"level": 1}}),
    "zarr3 sharded": zarr3(SHARDED),
}


def stored(encoding, array):
    """The metadata and the only chunk of an array that TensorStore wrote."""
    spec = json.loads(json.dumps(ENCODINGS[encoding]))
    for codec in spec["metadata"].get("codecs", []):
        if codec["name"] == "sharding_indexed":
            codec["configuration"]["chunk_shape"] = [array.shape[0] // 2, array.shape[1]]
    context = ts.Context()
    spec["kvstore"] = {"driver": "memory"}
    ts.open(spec, create=True, dtype=array.dtype, shape=array.shape, context=context).result().write(array).result()
    files = ts.KvStore.open({"driver": "memory"}, context=context).result()
    (chunk,) = [key for key in files.list().result() if b"zarr" not in key]
    driver = "zarr2" if spec["driver"] == "zarr" else "zarr3"
    metadata = files.read(".zarray" if driver == "zarr2" else "zarr.json").result().value
    return files.read(chunk).result().value, json.loads(metadata), driver


@pytest.mark.parametrize("array", [RANDOM, LARGE, np.zeros((8, 8)), np.zeros((400, 400))], ids=str)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_chunk_that_tensorstore_wrote_is_complete(encoding, array):
    refuse_incomplete(*stored(encoding, array + array.dtype.type(1)))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_beginning_of_a_chunk_is_complete(encoding):
    chunk, *about = stored(encoding, RANDOM)
    lengths = {*range(40), *range(len(chunk) - 40, len(chunk)), *range(0, len(chunk), 997)}
    for length in lengths:
        with pytest.raises(ValueError, match=r"cut off|does not begin|cannot be decompressed"):
            refuse_incomplete(chunk[:length], *about)


@pytest.mark.parametrize("encoding", ["zarr2 raw", "zarr2 zstd", "zarr2 blosc", "zarr3 raw"])
def test_bytes_behind_the_end_are_refused_where_tensorstore_refuses_them(encoding):
    chunk, *about = stored(encoding, RANDOM)
    with pytest.raises(ValueError, match="behind its end"):
        refuse_incomplete(chunk + b"\0", *about)


def test_a_codec_of_unknown_framing_is_left_to_tensorstore():
    fields = {"chunks": [2], "dtype": "<f4", "compressor": {"id": "lz4hc"}, "filters": None}
    refuse_incomplete(b"", fields, "zarr2")


def test_an_inner_chunk_of_a_shard_without_the_mark_of_its_codec_is_refused():
    chunk, fields, driver = stored("zarr3 sharded", RANDOM)
    at = chunk.index(b"\x28\xb5\x2f\xfd")
    damaged = chunk[: at + 1] + b"\0" + chunk[at + 2 :]
    with pytest.raises(ValueError, match="does not begin with a zstd frame"):
        refuse_incomplete(damaged, fields, driver)
