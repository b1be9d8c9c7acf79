"""Zarr array metadata (`.zarray` of version 2, `zarr.json` of version 3) as shape, dtype name, chunk shape and codec.

TensorStore parses metadata only by opening arrays one at a time, and a checkpoint has thousands of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import ge
from typing import Any, Literal

from migrate import dtypes
from migrate.formats.opaque import opaque_leaf
from migrate.formats.stored_dtype import stored_dtype
from migrate.tree import AbstractArray, AbstractLeaf

Driver = Literal["zarr2", "zarr3"]

METADATA_KEYS: dict[Driver, str] = {"zarr2": ".zarray", "zarr3": "zarr.json"}
TENSORSTORE_DRIVERS: dict[Driver, str] = {"zarr2": "zarr", "zarr3": "zarr3"}

CHUNK_KEYS = ({"name": "default"}, {"name": "default", "configuration": {"separator": "/"}})
"""The default naming of chunks in zarr 3: `c/0/1`."""

_FRAMING = ("bytes", "endian", "crc32c", "transpose")
_MAX_DIMENSIONS = 32


@dataclass(frozen=True, slots=True)
class ArrayMetadata:
    """The metadata of one array; without a fill value a chunk that is not stored has no meaning.

    `inner` and `encoding` are those of `migrate.tree.Storage`.
    """

    aval: AbstractArray
    driver: Driver
    chunks: tuple[int, ...]
    codec: str | None
    has_fill_value: bool
    inner: tuple[int, ...] | None = None
    encoding: str | None = None

    @property
    def chunk_bytes(self) -> int:
        """The least bytes of a stored chunk: those of its elements if it has no codec, otherwise one."""
        raw = self.codec is None and self.inner is None and self.encoding is not None
        return math.prod(self.chunks) * dtypes.item_bytes(self.aval.dtype) if raw else 1

    def chunk_keys(self) -> Iterator[str] | None:
        """The keys of all chunks, below the array's prefix; None where the layout of its keys is not the default."""
        shape, chunks = self.aval.shape, self.chunks
        if self.encoding is None or len(shape) != len(chunks) or not all(chunks):
            return None
        if 0 not in shape and all(map(ge, chunks, shape)):
            return iter((_first_key(len(shape), self.driver),))
        counts = [-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)]
        return (chunk_key(index, self.driver) for index in _indices(counts))


def _indices(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yields the indices of a grid in C order; `itertools.product` would first store the ranges, which may be huge."""
    if not counts:
        yield ()
        return
    for first in range(counts[0]):
        for rest in _indices(counts[1:]):
            yield (first, *rest)


def chunk_key(index: Sequence[int], driver: str) -> str:
    """The key of a chunk below its array's prefix."""
    if driver == "zarr3":
        return "/".join(("c", *map(str, index)))
    return ".".join(map(str, index)) or "0"


@lru_cache(maxsize=64)
def _first_key(rank: int, driver: str) -> str:
    return chunk_key((0,) * rank, driver)


@lru_cache(maxsize=4096)  # many arrays of a checkpoint have identical metadata
def parse(content: bytes, driver: Driver) -> ArrayMetadata:
    """Returns the metadata in a `.zarray` or `zarr.json`.

    Raises:
      UnknownDtypeError: no leaf can have the dtype.
      ValueError: it is not the JSON of an array.
    """
    try:
        fields = json.loads(content)
        return _parse_zarr2(fields) if driver == "zarr2" else _parse_zarr3(fields)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it lacks or misuses {error}") from error


def parse_opaque(content: bytes, driver: Driver) -> AbstractLeaf | None:
    """Returns the leaf of an array of text or objects, whose dtype `parse` refuses; None for any other dtype.

    Raises:
      ValueError: its shape is invalid.
    """
    fields = json.loads(content)
    dtype = fields["dtype" if driver == "zarr2" else "data_type"]
    return opaque_leaf(dtype.get("name", dtype) if isinstance(dtype, dict) else dtype, _shape(fields["shape"]))


def is_group(content: bytes | None) -> bool:
    """Whether a `zarr.json` describes a group, which has no array of its own."""
    try:
        fields = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and fields.get("node_type") == "group"


def _parse_zarr2(fields: dict[str, Any]) -> ArrayMetadata:
    aval = AbstractArray(_shape(fields["shape"]), _dtype_name(fields["dtype"]))
    compressor = fields.get("compressor")
    codec = _codec_name(compressor["id"], compressor.get("level")) if compressor else None
    plain = fields.get("order") == "C" and not fields.get("filters") and fields.get("dimension_separator", ".") == "."
    return ArrayMetadata(
        aval,
        "zarr2",
        _shape(fields["chunks"]),
        codec,
        has_fill_value=fields.get("fill_value") is not None,
        encoding=_canonical(fields, without=("shape", "chunks")) if plain else None,
    )


def _parse_zarr3(fields: dict[str, Any]) -> ArrayMetadata:
    aval = AbstractArray(_shape(fields["shape"]), _dtype_name(fields["data_type"]))
    chunks = _shape(fields["chunk_grid"]["configuration"]["chunk_shape"])
    inner, codecs = _without_inner(fields.get("codecs", []))
    plain = fields.get("chunk_key_encoding", CHUNK_KEYS[0]) in CHUNK_KEYS and "transpose" not in json.dumps(codecs)
    encoding = _canonical({**fields, "codecs": codecs}, without=("shape", "chunk_grid", "dimension_names"))
    return ArrayMetadata(
        aval,
        "zarr3",
        chunks,
        _zarr3_codec(fields.get("codecs", [])),
        has_fill_value=True,
        inner=inner,
        encoding=encoding if plain else None,
    )


def _without_inner(codecs: list[dict[str, Any]]) -> tuple[tuple[int, ...] | None, list[dict[str, Any]]]:
    """Returns the shape of a shard's parts, and the codecs without it."""
    if not codecs or codecs[0]["name"] != "sharding_indexed":
        return None, codecs
    configuration = dict(codecs[0]["configuration"])
    inner = _shape(configuration.pop("chunk_shape")) if "chunk_shape" in configuration else None
    return inner, [{**codecs[0], "configuration": configuration}, *codecs[1:]]


def _canonical(fields: dict[str, Any], without: tuple[str, ...]) -> str:
    return json.dumps({key: fields[key] for key in fields if key not in without}, sort_keys=True)


def _zarr3_codec(codecs: list[dict[str, Any]]) -> str | None:
    for codec in codecs:
        configuration = codec.get("configuration", {})
        if codec["name"] == "sharding_indexed":
            return _zarr3_codec(configuration.get("codecs", []))
        if codec["name"] not in _FRAMING:
            return _codec_name(codec["name"], configuration.get("level"))
    return None


def _codec_name(name: object, level: object) -> str:
    return f"{name}" if level is None else f"{name}:{level}"


def _shape(sizes: object) -> tuple[int, ...]:
    if not isinstance(sizes, list) or len(sizes) > _MAX_DIMENSIONS:
        raise ValueError("a shape is not a list of sizes")
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise ValueError(f"{sizes} is not a shape")
    return tuple(sizes)


def _dtype_name(text: object) -> str:
    return dtypes.from_numpy(stored_dtype(text))


def parse_chunk_key(key: str) -> tuple[int, ...]:
    """Returns the index of the chunk of a key: the inverse of `chunk_key`; `0` is the chunk of a scalar as well."""
    return tuple(int(part) for part in key.removeprefix("c").replace("/", ".").split(".") if part)
