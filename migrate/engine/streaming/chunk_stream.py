"""Decodes chunks that are larger than memory as streams, in the order of their elements.

TensorStore decodes a chunk whole, and Orbax stores an array that is not sharded as one chunk. So the chunk of a leaf of
many gigabytes is located here through the database's index and decompressed as a stream. TensorStore reads all arrays
that cannot be streamed: other codecs, chunks that may be absent, elements of less than a byte.
"""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tensorstore as ts
import zstandard

from migrate import dtypes
from migrate.engine.linking.open_stores import open_database, open_folder
from migrate.engine.streaming.array_sources import ArraySource, ChunkSource
from migrate.errors import CheckpointError
from migrate.formats.base import Location
from migrate.formats.files import damaged, missing, unreadable
from migrate.formats.zarr.metadata import CHUNK_KEYS, METADATA_KEYS, chunk_key
from migrate.formats.zarr.references import references
from migrate.formats.zarr.shard_index import INDEX_BYTES, inner_chunk_range
from migrate.formats.zarr.zstd_stream import ZstdStream
from migrate.ops.windows import Window
from migrate.places.bucket_path import BucketPath
from migrate.tree import AbstractArray

Array = np.ndarray[Any, Any]

_BUCKET_BYTES = 8 << 20
"""The bytes of one request to a bucket."""

_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


@dataclass(frozen=True, slots=True)
class StreamableArray:
    """An array in large chunks that can be decoded as streams.

    Attributes:
      aval: its shape and dtype.
      chunks: the shape of one chunk, without the trailing dimension of typed keys.
      location: where its chunks are stored.
      sharded: whether each chunk is a zarr 3 shard with one inner chunk.
      compressed: whether chunks are compressed with zstd; otherwise they are raw.
    """

    aval: AbstractArray
    chunks: tuple[int, ...]
    location: Location
    sharded: bool
    compressed: bool

    def block(self, limit: int) -> tuple[int, ...]:
        """The shape of the blocks that are decoded at once: whole rows of a chunk, of about `limit` bytes."""
        row = math.prod(self.chunks[1:]) * dtypes.item_bytes(self.aval.dtype)
        return (min(max(limit // row, 1), self.chunks[0]), *self.chunks[1:])

    def parts(self, limit: int) -> Iterator[tuple[Window, Array]]:
        """Decodes windows that cover the array, chunk by chunk.

        Raises:
          CheckpointError: a chunk is missing, truncated or damaged.
        """
        counts = [math.ceil(size / chunk) for size, chunk in zip(self.aval.shape, self.chunks, strict=True)]
        for index in itertools.product(*map(range, counts)):
            yield from self._chunk(index, self.block(limit)[0])

    def _chunk(self, index: tuple[int, ...], rows: int) -> Iterator[tuple[Window, Array]]:
        corner = [i * chunk for i, chunk in zip(index, self.chunks, strict=True)]
        ends = [min(c + n, size) for c, n, size in zip(corner, self.chunks, self.aval.shape, strict=True)]
        inside = tuple(slice(0, end - c) for c, end in zip(corner[1:], ends[1:], strict=True))
        with self._open_chunk(index) as encoded:
            if self.sharded:
                self._narrow_to_inner_chunk(encoded)
            content = _ChunkContent(encoded, self.location.name, compressed=self.compressed)
            for start in range(corner[0], corner[0] + self.chunks[0], rows):
                slab = self._slab(content, min(rows, corner[0] + self.chunks[0] - start))
                stop = min(start + rows, ends[0])
                if start < stop:  # rows beyond the edge of the array are decoded as well, to be checked
                    window = (start, stop), *zip(corner[1:], ends[1:], strict=True)
                    yield window, slab[(slice(0, stop - start), *inside)]
            content.finish()

    def _slab(self, content: _ChunkContent, rows: int) -> Array:
        """Decodes the next rows of a chunk."""
        row_bytes = math.prod(self.chunks[1:]) * dtypes.item_bytes(self.aval.dtype)
        elements = np.frombuffer(content.take(rows * row_bytes), np.uint8)
        if self.aval.dtype == "bool" and elements.max(initial=0) > 1:
            raise content.damaged("has an element that is neither false nor true")
        return elements.view(dtypes.to_numpy(self.aval.dtype)).reshape(rows, *self.chunks[1:])

    def _open_chunk(self, index: tuple[int, ...]) -> _RangeReader:
        """Opens the encoded chunk as a file."""
        impl = dtypes.key_impl(self.aval.dtype)
        key = self.location.prefix + chunk_key((*index, 0) if impl else index, self.location.driver)
        base = self.location.base
        if not self.location.ocdbt:
            return self._range(base / key, 0, None)
        reference = references(base).get(key)
        if reference is None:
            raise missing(base, f"the chunk `{key}` is missing", paths=(self.location.name,))
        if reference.inline is not None:
            return _RangeReader(io.BytesIO(reference.inline), base, 0, len(reference.inline))
        return self._range(base / reference.file, reference.offset, reference.length)

    def _range(self, path: Path, start: int, length: int | None) -> _RangeReader:
        try:
            return _RangeReader(
                path.open("rb", _BUCKET_BYTES if isinstance(path, BucketPath) else -1),
                path,
                start,
                path.stat().st_size if length is None else length,
            )
        except OSError as error:
            raise unreadable(path, error, paths=(self.location.name,)) from error

    def _narrow_to_inner_chunk(self, shard: _RangeReader) -> None:
        name = self.location.name
        try:
            inner = inner_chunk_range(shard.tail(INDEX_BYTES), shard.length)
        except ValueError as error:
            raise damaged(shard.path, f"in a shard of `{name}`, {error}", paths=(name,)) from error
        if inner is None:
            raise missing(shard.path, f"a shard of `{name}` has no inner chunk", paths=(name,))
        shard.narrow(*inner)


class _ChunkContent:
    """The decoded bytes of a chunk, from the first to the last.

    Raises:
      CheckpointError: when it is opened or read: the chunk is damaged.
    """

    def __init__(self, encoded: _RangeReader, name: str, *, compressed: bool) -> None:
        self._path, self._name = encoded.path, name
        try:
            self._stream = ZstdStream(encoded) if compressed else encoded
        except zstandard.ZstdError as error:
            raise self.damaged(f"cannot be decompressed: {error}") from error

    def take(self, count: int) -> bytearray:
        """Decodes exactly `count` bytes."""
        content = bytearray(count)
        if self._fill(memoryview(content)) < count:
            raise self.damaged("has fewer bytes than its shape needs")
        return content

    def finish(self) -> None:
        """Checks that no bytes are left, which also verifies the checksum at the end of the chunk."""
        if self._fill(memoryview(bytearray(1))):
            raise self.damaged("has more bytes than its shape needs")

    def damaged(self, why: str) -> CheckpointError:
        """Returns the error for the chunk."""
        return damaged(self._path, f"a chunk of `{self._name}` {why}", paths=(self._name,))

    def _fill(self, view: memoryview) -> int:
        """Reads until the view is full or the content ends; returns the number of bytes."""
        filled = 0
        try:
            while filled < len(view) and (count := self._stream.readinto(view[filled:])):
                filled += count
        except zstandard.ZstdError as error:
            raise self.damaged(f"cannot be decompressed: {error}") from error
        return filled


class _RangeReader(io.RawIOBase):
    """Reads a byte range of a file; closing it closes the file.

    Attributes:
      path: the file.
      length: bytes of the range.
    """

    def __init__(self, file: BinaryIO, path: Path, start: int, length: int) -> None:
        self._file, self.path, self._start = file, path, 0
        self.narrow(start, length)

    def narrow(self, start: int, length: int) -> None:
        """Narrows the range to a part of itself; `start` counts from its present start."""
        self._start, self.length, self._left = self._start + start, length, length
        self._file.seek(self._start)

    def tail(self, count: int) -> bytes:
        """Returns the last `count` bytes, or all if there are fewer; call `narrow` before the next read."""
        count = min(count, self.length)
        self._file.seek(self._start + self.length - count)
        return self._file.read(count)

    def readable(self) -> bool:
        """Returns True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads the next bytes, at most to the end of the range."""
        try:
            content = self._file.read(min(len(buffer), self._left))
        except OSError as error:  # which names no file
            raise unreadable(self.path, error) from error
        buffer[: len(content)] = content
        self._left -= len(content)
        return len(content)

    def close(self) -> None:
        """Closes the reader and the file."""
        self._file.close()
        super().close()


def streamable(source: ArraySource, limit: int) -> StreamableArray | None:
    """The source as an array that is decoded as streams; None if its chunks fit `limit` or cannot be streamed."""
    if not isinstance(source, ChunkSource) or source.location is None or source.chunk_bytes <= limit:
        return None
    aval, location = source.aval, source.location
    if not aval.shape or location.fill_missing or aval.dtype in dtypes.SUB_BYTE:
        return None
    metadata = _metadata(location)
    encoding = _zarr3_encoding(metadata) if location.driver == "zarr3" else _zarr2_encoding(metadata)
    return StreamableArray(aval, source.chunks, location, *encoding) if encoding is not None else None


def _metadata(location: Location) -> dict[str, Any]:
    store = (open_database if location.ocdbt else open_folder)(location.base, ts.Context())
    key = location.prefix + METADATA_KEYS[location.driver]
    fields: dict[str, Any] = json.loads(store.read(key).result().value)
    return fields


def _zarr2_encoding(fields: dict[str, Any]) -> tuple[bool, bool] | None:
    """Whether chunks are sharded, and whether they are compressed; None if they cannot be streamed."""
    compressor = fields.get("compressor")
    plain = fields.get("order") == "C" and not fields.get("filters") and not str(fields["dtype"]).startswith(">")
    plain = plain and fields.get("dimension_separator", ".") == "."
    known = compressor is None or compressor["id"] == "zstd"
    return (False, compressor is not None) if plain and known else None


def _zarr3_encoding(fields: dict[str, Any]) -> tuple[bool, bool] | None:
    """Whether chunks are sharded, and whether they are compressed; None if they cannot be streamed."""
    codecs, sharded = fields["codecs"], False
    if fields.get("chunk_key_encoding") not in CHUNK_KEYS:
        return None
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
