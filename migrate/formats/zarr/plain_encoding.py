"""Chunks that are decoded without TensorStore: elements in C order, raw or compressed with zstd, alone or in a shard.

This is how Orbax writes chunks. Nothing is decided here about damage: what cannot be decoded this way is left to
TensorStore, whose error names the cause.
"""

from __future__ import annotations

import json
import math
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from migrate import dtypes
from migrate.formats.stored_dtype import UnknownDtypeError
from migrate.formats.zarr.metadata import CHUNK_KEYS, Driver, parse
from migrate.formats.zarr.shard_index import INDEX_BYTES, inner_chunk_range

if TYPE_CHECKING:
    import numpy as np

_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}

_of_thread = threading.local()


class PlainEncoding(NamedTuple):
    """How each chunk of an array is encoded.

    Attributes:
      sharded: whether it is a zarr 3 shard with one inner chunk.
      compressed: whether it is compressed with zstd; otherwise it is raw.
    """

    sharded: bool
    compressed: bool


def plain_encoding(content: bytes, driver: Driver) -> PlainEncoding | None:
    """Returns the encoding that array metadata specifies; None for any other encoding.

    Args:
      content: a `.zarray` or `zarr.json` that describes an array.
      driver: `zarr2` or `zarr3`.
    """
    fields: dict[str, Any] = json.loads(content)
    return _of_zarr3(fields) if driver == "zarr3" else _of_zarr2(fields)


def _of_zarr2(fields: dict[str, Any]) -> PlainEncoding | None:
    compressor = fields.get("compressor")
    plain = fields.get("order") == "C" and not fields.get("filters") and not str(fields["dtype"]).startswith(">")
    plain = plain and fields.get("dimension_separator", ".") == "."
    known = compressor is None or compressor["id"] == "zstd"
    return PlainEncoding(sharded=False, compressed=compressor is not None) if plain and known else None


def _of_zarr3(fields: dict[str, Any]) -> PlainEncoding | None:
    if fields.get("chunk_key_encoding") not in CHUNK_KEYS:
        return None
    shard = _shard_of(fields)
    if shard is None:
        return _of_codecs(fields["codecs"], sharded=False)
    one = shard["chunk_shape"] == fields["chunk_grid"]["configuration"]["chunk_shape"]
    return _of_codecs(shard["codecs"], sharded=True) if one else None


def _shard_of(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the configuration of shards as Orbax writes them; None without such shards."""
    codecs = fields["codecs"]
    if codecs[0]["name"] != "sharding_indexed" or len(codecs) > 1:
        return None
    shard: dict[str, Any] = codecs[0]["configuration"]
    known = shard.get("index_location", "end") == "end" and shard["index_codecs"] == [_LITTLE, {"name": "crc32c"}]
    return shard if known else None


def _of_codecs(codecs: list[dict[str, Any]], *, sharded: bool) -> PlainEncoding | None:
    names = [codec["name"] for codec in codecs[1:]]
    if codecs[:1] not in ([_LITTLE], [{"name": "bytes"}]) or names not in ([], ["zstd"]):
        return None
    return PlainEncoding(sharded, compressed=bool(names))


class PlainChunks(NamedTuple):
    """The chunks of an array, to be decoded.

    Attributes:
      encoding: how they are encoded.
      dtype: the dtype of the array.
      nbytes: the bytes of a decoded chunk.
    """

    encoding: PlainEncoding
    dtype: np.dtype[Any]
    nbytes: int

    def decode(self, chunk: bytes | memoryview) -> np.ndarray[Any, Any] | None:
        """Returns the elements of a stored chunk in C order; None if it cannot be decoded."""
        import numpy as np

        encoding, dtype, nbytes = self
        content = self._inner(chunk) if encoding.sharded else chunk
        if content is not None and encoding.compressed:
            content = _decompressed(content, nbytes)
        if content is None or len(content) != nbytes:
            return None
        if dtype.kind == "b" and max(content, default=0) > 1:
            return None
        return np.frombuffer(content, dtype)

    def _inner(self, shard: bytes | memoryview) -> bytes | memoryview | None:
        try:
            place = inner_chunk_range(bytes(shard[-INDEX_BYTES:]), len(shard))
        except ValueError:
            return None
        return None if place is None else shard[place[0] : place[0] + place[1]]


@lru_cache(maxsize=1024)  # many arrays of a checkpoint have equal metadata
def plain_chunks(content: bytes, driver: Driver) -> PlainChunks | None:
    """Returns the chunks that array metadata describes; None where they cannot be decoded here."""
    try:
        metadata, encoding = parse(content, driver), plain_encoding(content, driver)
    except (ValueError, UnknownDtypeError, KeyError, TypeError, AttributeError, IndexError):
        return None
    if encoding is None or metadata.aval.dtype in dtypes.SUB_BYTE:
        return None
    dtype = dtypes.to_numpy(metadata.aval.dtype)
    return PlainChunks(encoding, dtype, math.prod(metadata.chunks) * dtype.itemsize)


@lru_cache(maxsize=1024)
def inner_chunks(content: bytes, driver: Driver) -> PlainChunks | None:
    """Returns the inner chunks of shards of several; None for other arrays, and where they cannot be decoded here."""
    try:
        metadata, fields = parse(content, driver), json.loads(content)
        shard = _shard_of(fields) if driver == "zarr3" and fields.get("chunk_key_encoding") in CHUNK_KEYS else None
        encoding = _of_codecs(shard["codecs"], sharded=False) if shard is not None else None
    except (ValueError, UnknownDtypeError, KeyError, TypeError, AttributeError, IndexError):
        return None
    if encoding is None or metadata.inner is None or metadata.aval.dtype in dtypes.SUB_BYTE:
        return None
    dtype = dtypes.to_numpy(metadata.aval.dtype)
    return PlainChunks(encoding, dtype, math.prod(metadata.inner) * dtype.itemsize)


def _decoder() -> Any:
    import zstandard

    try:
        return _of_thread.decoder
    except AttributeError:
        _of_thread.decoder = zstandard.ZstdDecompressor()
        return _of_thread.decoder


def _decompressed(frame: bytes | memoryview, nbytes: int) -> bytes | None:
    """Returns the content of a frame with so many bytes; None for any other."""
    import zstandard

    try:
        if zstandard.frame_content_size(frame) not in (nbytes, -1):  # before memory is taken for it
            return None
        content: bytes = _decoder().decompress(frame, max_output_size=nbytes, allow_extra_data=False)
    except zstandard.ZstdError:
        return None
    return content
