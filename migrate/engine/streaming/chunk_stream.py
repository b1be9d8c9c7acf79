"""Decoding a chunk that is larger than memory: piece by piece, in the order in which its elements lie.

TensorStore decodes a chunk whole, and Orbax stores an array that is not sharded as one chunk. So a leaf of many
gigabytes is unpacked here: its encoded bytes are found by their entry in the index and decompressed as a stream. What
cannot be read in this way (another codec, a missing chunk, elements of less than a byte) is left to TensorStore.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import tensorstore as ts
import zstandard

from migrate import dtypes
from migrate.engine.linking.open_stores import open_database, open_folder
from migrate.engine.linking.references import references
from migrate.engine.linking.relink import chunk_key
from migrate.engine.streaming.array_sources import Chunked, Source
from migrate.formats.base import Location
from migrate.formats.files import damaged
from migrate.formats.zarr.metadata import METADATA_KEYS
from migrate.ops.windows import Window
from migrate.tree import AbstractArray

Array = np.ndarray[Any, Any]

_SHARD_INDEX = struct.Struct("<QQI")
"""The end of a zarr 3 shard with one part: the part's offset and length, and a checksum."""

_NO_PART = (1 << 64) - 1, (1 << 64) - 1, 0
"""What an index says of a part that was never written."""

_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


@dataclass(frozen=True, slots=True)
class Packed:
    """An array in large chunks that can be unpacked as streams.

    Attributes:
      aval: its shape and dtype.
      chunks: the shape of one chunk; typed keys without their words.
      location: where its chunks lie.
      sharded: whether each chunk is a zarr 3 shard with one part.
      compressed: whether it is compressed with zstd; else it is not compressed.
    """

    aval: AbstractArray
    chunks: tuple[int, ...]
    location: Location
    sharded: bool
    compressed: bool

    def block(self, limit: int) -> tuple[int, ...]:
        """The shape of what is unpacked at once: whole rows of a chunk, of about `limit` bytes."""
        row = math.prod(self.chunks[1:]) * dtypes.item_bytes(self.aval.dtype)
        return (min(max(limit // row, 1), self.chunks[0]), *self.chunks[1:])

    def parts(self, limit: int) -> Iterator[tuple[Window, Array]]:
        """Windows that cover the array, chunk by chunk, with their elements.

        Raises:
          CheckpointError: a chunk is missing, truncated or damaged.
        """
        counts = [math.ceil(size / chunk) for size, chunk in zip(self.aval.shape, self.chunks, strict=True)]
        for index in itertools.product(*map(range, counts)):
            yield from self._chunk(index, self.block(limit)[0])

    def _chunk(self, index: tuple[int, ...], rows: int) -> Iterator[tuple[Window, Array]]:
        corner = [i * chunk for i, chunk in zip(index, self.chunks, strict=True)]
        ends = [min(c + n, size) for c, n, size in zip(corner, self.chunks, self.aval.shape, strict=True)]
        row_bytes = math.prod(self.chunks[1:]) * dtypes.item_bytes(self.aval.dtype)
        with self._open(index) as encoded, self._decoded(encoded) as stream:
            for start in range(corner[0], ends[0], rows):
                stop = min(start + rows, ends[0])
                content = self._read(stream, (stop - start) * row_bytes)
                slab = np.frombuffer(content, dtypes.to_numpy(self.aval.dtype)).reshape(-1, *self.chunks[1:])
                inside = tuple(slice(0, end - c) for c, end in zip(corner[1:], ends[1:], strict=True))
                yield ((start, stop), *zip(corner[1:], ends[1:], strict=True)), slab[(slice(None), *inside)]

    def _open(self, index: tuple[int, ...]) -> io.RawIOBase:
        """The encoded bytes of a chunk, as a file that ends with them."""
        impl = dtypes.key_impl(self.aval.dtype)
        key = self.location.prefix + chunk_key((*index, 0) if impl else index, self.location.driver)
        if not self.location.ocdbt:
            path, start, length = self.location.base / key, 0, -1
        else:
            reference = references(self.location.base).get(key)
            if reference is None:
                raise damaged(self.location.base, f"the chunk `{key}` is not there")
            if reference.inline is not None:
                return self._part(io.BytesIO(reference.inline), 0, len(reference.inline))
            path, start, length = self.location.base / reference.file, reference.offset, reference.length
        try:
            file = path.open("rb")
        except OSError as error:
            raise damaged(path, f"it cannot be read ({error.strerror})") from error
        return self._part(file, start, path.stat().st_size if length < 0 else length)

    def _part(self, file: BinaryIO, start: int, length: int) -> io.RawIOBase:
        """The compressed part of a shard, or the whole chunk."""
        if self.sharded:
            file.seek(start + max(length - _SHARD_INDEX.size, 0))
            index = file.read(_SHARD_INDEX.size)
            offset, size, _ = _SHARD_INDEX.unpack(index) if len(index) == _SHARD_INDEX.size else _NO_PART
            if offset + size > length:
                raise damaged(self.location.base, f"a shard of `{self.location.name}` lacks its part")
            start, length = start + offset, size
        file.seek(start)
        return _Range(file, length)

    def _decoded(self, encoded: Any) -> Any:
        return zstandard.ZstdDecompressor().stream_reader(encoded) if self.compressed else encoded

    def _read(self, stream: Any, size: int) -> bytearray:
        content = bytearray(size)
        view, filled = memoryview(content), 0
        try:
            while filled < size and (count := stream.readinto(view[filled:])):
                filled += count
        except zstandard.ZstdError as error:
            raise damaged(self.location.base, f"`{self.location.name}` cannot be decompressed: {error}") from error
        if filled < size:
            raise damaged(self.location.base, f"a chunk of `{self.location.name}` ends too early")
        return content


class _Range(io.RawIOBase):
    """A range of a file as a file of its own; closing it closes the file."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._left = length

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Bytes until the range ends."""
        content = self._file.read(min(len(buffer), self._left))
        buffer[: len(content)] = content
        self._left -= len(content)
        return len(content)

    def close(self) -> None:
        """Closes the file as well."""
        self._file.close()
        super().close()


def unpackable(source: Source, limit: int) -> Packed | None:
    """A source whose chunks are larger than `limit`, as something to unpack in streams; None where that cannot be."""
    if not isinstance(source, Chunked) or source.location is None or source.chunk_bytes <= limit:
        return None
    aval, location = source.aval, source.location
    if not aval.shape or location.fill_missing or aval.dtype in dtypes.SUB_BYTE:
        return None
    metadata = _metadata(location)
    found = _zarr3_codec(metadata) if location.driver == "zarr3" else _zarr2_codec(metadata)
    return Packed(aval, source.chunks, location, *found) if found is not None else None


def _metadata(location: Location) -> dict[str, Any]:
    store = (open_database if location.ocdbt else open_folder)(location.base, ts.Context())
    key = location.prefix + METADATA_KEYS[location.driver]
    fields: dict[str, Any] = json.loads(store.read(key).result().value)
    return fields


def _zarr2_codec(fields: dict[str, Any]) -> tuple[bool, bool] | None:
    compressor = fields.get("compressor")
    plain = fields.get("order") == "C" and not fields.get("filters") and not str(fields["dtype"]).startswith(">")
    known = compressor is None or compressor["id"] == "zstd"
    return (False, compressor is not None) if plain and known else None


def _zarr3_codec(fields: dict[str, Any]) -> tuple[bool, bool] | None:
    codecs, sharded = fields["codecs"], False
    if codecs[0]["name"] == "sharding_indexed":
        shard = codecs[0]["configuration"]
        one = shard["chunk_shape"] == fields["chunk_grid"]["configuration"]["chunk_shape"]
        if not one or len(codecs) > 1 or shard.get("index_location", "end") != "end":
            return None
        if shard["index_codecs"] != [_LITTLE, {"name": "crc32c"}]:
            return None
        codecs, sharded = shard["codecs"], True
    if codecs[:1] not in ([_LITTLE], [{"name": "bytes"}]) or [codec["name"] for codec in codecs[1:]] not in (
        [],
        ["zstd"],
    ):
        return None
    return sharded, len(codecs) == 2
