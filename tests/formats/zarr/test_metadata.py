import json

import pytest

from migrate.formats.stored_dtype import UnknownDtypeError
from migrate.formats.zarr.metadata import parse

ZARR2 = {
    "shape": [4, 3],
    "chunks": [2, 3],
    "dtype": "<f4",
    "compressor": {"id": "zstd", "level": 1},
    "fill_value": None,
}
SHARDED = {
    "name": "sharding_indexed",
    "configuration": {"codecs": [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 3}}]},
}
ZARR3 = {
    "shape": [4, 3],
    "data_type": "float32",
    "chunk_grid": {"configuration": {"chunk_shape": [2, 3]}},
    "codecs": [SHARDED],
    "fill_value": 0,
}


def parsed(fields, driver="zarr2", **changes):
    return parse(json.dumps({**fields, **changes}).encode(), driver)


def test_version_2_says_shape_dtype_chunks_and_codec():
    found = parsed(ZARR2)
    assert ("float32[4,3]", (2, 3), "zstd:1", False) == (
        str(found.aval),
        found.chunks,
        found.codec,
        found.has_fill_value,
    )


def test_version_3_says_the_codec_inside_of_the_shard():
    found = parsed(ZARR3, "zarr3")
    assert ("float32[4,3]", (2, 3), "zstd:3", True) == (
        str(found.aval),
        found.chunks,
        found.codec,
        found.has_fill_value,
    )


def test_no_compressor_is_no_codec():
    assert None is parsed(ZARR2, compressor=None).codec
    assert None is parsed(ZARR3, "zarr3", codecs=[{"name": "bytes"}]).codec
    assert "gzip" == parsed(ZARR2, compressor={"id": "gzip"}).codec


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("<f4", "float32"),
        (">i8", "int64"),
        ("|b1", "bool"),
        ("<c8", "complex64"),
        ("bfloat16", "bfloat16"),
        ("int4", "int4"),
    ],
)
def test_dtypes_of_numpy_and_of_tensorstore_have_names(text, name):
    assert name == parsed(ZARR2, dtype=text).aval.dtype


@pytest.mark.parametrize(
    "text", ["|O", "|S3", "<M8[s]", [["a", "<f4"]], "key<fry>", "nonsense", "f4,", "(2,)f4", "", 5]
)
def test_a_dtype_that_no_leaf_has_is_unknown(text):
    with pytest.raises(UnknownDtypeError):
        parsed(ZARR2, dtype=text)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_array_is_a_value_error(content):
    with pytest.raises(ValueError):
        parse(content, "zarr2")
