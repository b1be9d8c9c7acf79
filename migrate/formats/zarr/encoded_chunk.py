"""Whether an encoded chunk is complete, by its framing: chunks that are copied are not decoded.

The lengths and marks that codecs write are enough to detect a chunk that was cut off. Codecs without them are decoded.
"""

from __future__ import annotations

import bz2
import math
import struct
import zlib
from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.formats.stored_dtype import stored_dtype
from migrate.formats.zarr.crc32c import crc32c

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from migrate.formats.zarr.metadata import Driver

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_RLE = 1
_PART = 1 << 20
"""Chunks of codecs without a length are decoded in parts of this size."""


def refuse_incomplete(chunk: bytes, fields: Mapping[str, Any], driver: Driver) -> None:
    """Checks one stored chunk against the framing of its outermost codec; the framing of other codecs is not known.

    Args:
      chunk: the stored bytes.
      fields: the array's metadata, as parsed JSON.
      driver: the version of zarr.

    Raises:
      ValueError: the chunk is cut off, or has other bytes behind its end.
    """
    if driver == "zarr2":
        codec, configuration = (fields.get("compressor") or {"id": "bytes"})["id"], fields
    else:
        codec, configuration = fields["codecs"][-1]["name"], fields["codecs"][-1].get("configuration", {})
    if codec == "bytes" and not fields.get("filters"):
        _check_raw(chunk, fields, driver)
    elif codec == "zstd":
        _check_zstd(chunk, exact=driver == "zarr2")
    elif codec == "sharding_indexed":
        _check_shard(chunk, fields, configuration)
    elif codec in _CHECKS:
        _CHECKS[codec](chunk)


def _check_raw(chunk: bytes, fields: Mapping[str, Any], driver: Driver) -> None:
    shape = fields["chunks"] if driver == "zarr2" else fields["chunk_grid"]["configuration"]["chunk_shape"]
    dtype = dtypes.from_numpy(stored_dtype(fields["dtype" if driver == "zarr2" else "data_type"]))
    _expect(math.prod(shape) * dtypes.item_bytes(dtype), len(chunk))


def _check_zstd(chunk: bytes, *, exact: bool) -> None:
    """Follows the blocks of a frame from header to header (RFC 8878, section 3.1.1)."""
    if chunk[:4] != _ZSTD_MAGIC or len(chunk) < 6:
        raise ValueError("does not begin with a zstd frame")
    descriptor = chunk[4]
    single = bool(descriptor & 0x20)
    size_field = (int(single), 2, 4, 8)[descriptor >> 6]
    at = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3] + size_field
    last = False
    while not last:
        header = int.from_bytes(chunk[at : at + 3], "little")
        if at + 3 > len(chunk):
            raise ValueError("is cut off")
        last, kind = bool(header & 1), header >> 1 & 3
        at += 3 + (1 if kind == _RLE else header >> 3)
    _expect(at + (4 if descriptor & 4 else 0), len(chunk), exact=exact)


def _check_shard(chunk: bytes, fields: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
    """Checks index and inner chunks of a shard whose index is at the end, with its checksum, as Orbax writes it."""
    names = [codec["name"] for codec in configuration.get("index_codecs", [])]
    if configuration.get("index_location", "end") != "end" or names != ["bytes", "crc32c"]:
        return
    outer = fields["chunk_grid"]["configuration"]["chunk_shape"]
    parts = math.prod(-(-size // part) for size, part in zip(outer, configuration["chunk_shape"], strict=True))
    index = chunk[-(16 * parts + 4) :]
    if len(index) < 16 * parts + 4 or crc32c(index[:-4]) != int.from_bytes(index[-4:], "little"):
        raise ValueError("is cut off: the checksum of its index does not match")
    numbers = struct.unpack(f"<{2 * parts}Q", index[:-4])
    places = [place for place in zip(numbers[::2], numbers[1::2], strict=True) if place[0] + 1 < 1 << 64]
    _expect(max((offset + size for offset, size in places), default=0), len(chunk) - len(index), exact=False)
    inner = {**fields, "codecs": configuration["codecs"], "chunk_grid": {"configuration": configuration}}
    for offset, size in places:
        refuse_incomplete(chunk[offset : offset + size], inner, "zarr3")


def _check_blosc(chunk: bytes) -> None:
    if len(chunk) < 16:
        raise ValueError("is cut off")
    _expect(int.from_bytes(chunk[12:16], "little"), len(chunk))


def _check_zlib(chunk: bytes, window_bits: int = zlib.MAX_WBITS) -> None:
    decoder = zlib.decompressobj(window_bits)
    try:
        while not decoder.eof and chunk:
            decoder.decompress(chunk, _PART)
            chunk = decoder.unconsumed_tail
    except zlib.error as error:
        raise ValueError(f"cannot be decompressed: {error}") from error
    if not decoder.eof:
        raise ValueError("is cut off")


def _check_gzip(chunk: bytes) -> None:
    _check_zlib(chunk, zlib.MAX_WBITS | 16)


def _check_bz2(chunk: bytes) -> None:
    decoder = bz2.BZ2Decompressor()
    try:
        decoder.decompress(chunk, _PART)
        while not decoder.eof and not decoder.needs_input:
            decoder.decompress(b"", _PART)
    except OSError as error:
        raise ValueError(f"cannot be decompressed: {error}") from error
    if not decoder.eof:
        raise ValueError("is cut off")


_CHECKS: Mapping[str, Callable[[bytes], None]] = {
    "blosc": _check_blosc,
    "zlib": _check_zlib,
    "gzip": _check_gzip,
    "bz2": _check_bz2,
}


def _expect(end: int, found: int, *, exact: bool = True) -> None:
    if found < end:
        raise ValueError(f"is cut off: it has {found:,} of {end:,} bytes")
    if exact and found > end:
        raise ValueError(f"has {found - end:,} bytes behind its end")
