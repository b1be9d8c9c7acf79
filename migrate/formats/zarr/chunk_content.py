"""The content of one stored chunk as a stream, so that a chunk larger than memory is never held whole."""

from __future__ import annotations

import io
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import zstandard

from migrate.errors import CheckpointError
from migrate.formats.base import Location
from migrate.formats.files import damaged, missing, unreadable
from migrate.formats.zarr.plain_encoding import PlainEncoding
from migrate.formats.zarr.shard_index import INDEX_BYTES, inner_chunk_range
from migrate.formats.zarr.small_arrays import database_of
from migrate.formats.zarr.zstd_stream import ZstdStream, decompress_into
from migrate.places.bucket_path import BucketPath

Array = np.ndarray[Any, Any]

_BUCKET_BYTES = 8 << 20
"""The bytes of one request to a bucket."""


class ChunkContent:
    """The elements of a chunk, from the first to the last; a context manager, which closes the file."""

    def __init__(self, location: Location, key: str, encoding: PlainEncoding) -> None:
        """Opens the chunk.

        Args:
          location: its array.
          key: its key in the store.
          encoding: how it is encoded.

        Raises:
          CheckpointError: it is missing or damaged, or cannot be read.
        """
        self._name = location.name
        self._encoded = _open_range(location, key)
        self._path = self._encoded.path
        try:
            self._stream = self._open_stream(encoding)
        except BaseException:
            self._encoded.close()
            raise

    def __enter__(self) -> ChunkContent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._encoded.close()

    def fill(self, elements: Array) -> None:
        """Decodes the next elements into an array in C order.

        Raises:
          CheckpointError: there are not as many, or they are damaged.
        """
        content = elements.reshape(-1).view(np.uint8)
        if self._read(content.data) < content.size:
            raise self._damaged("has fewer bytes than its shape needs")
        self._refuse_odd_booleans(elements, content)

    def _refuse_odd_booleans(self, elements: Array, content: Array) -> None:
        if elements.dtype == np.bool_ and content.max(initial=0) > 1:
            raise self._damaged("has an element that is neither false nor true")

    def fill_at_once(self, elements: Array) -> None:
        """Decodes all elements into an array in C order, with the encoded chunk in memory.

        Raises:
          CheckpointError: the chunk has more or fewer, or is damaged.
        """
        if not isinstance(self._stream, ZstdStream):
            self.fill(elements)
            self.finish()
            return
        frame, content = self._encoded.whole(), elements.reshape(-1).view(np.uint8)
        try:
            decompress_into(frame, content.data)
        except zstandard.ZstdError as error:
            raise self._damaged(f"cannot be decompressed: {error}") from error
        self._refuse_odd_booleans(elements, content)

    def finish(self) -> None:
        """Checks that no bytes are left, which also verifies the checksum at the end of the chunk.

        Raises:
          CheckpointError: there are some, or the chunk is damaged.
        """
        if self._read(memoryview(bytearray(1))):
            raise self._damaged("has more bytes than its shape needs")

    def _damaged(self, why: str) -> CheckpointError:
        return damaged(self._path, f"a chunk of `{self._name}` {why}", paths=(self._name,))

    def _read(self, view: memoryview) -> int:
        """Reads until the view is full or the content ends; returns the number of bytes."""
        filled = 0
        try:
            while filled < len(view) and (count := self._stream.readinto(view[filled:])):
                filled += count
        except zstandard.ZstdError as error:
            raise self._damaged(f"cannot be decompressed: {error}") from error
        return filled

    def _open_stream(self, encoding: PlainEncoding) -> io.RawIOBase:
        if encoding.sharded:
            self._narrow_to_inner_chunk()
        try:
            return ZstdStream(self._encoded) if encoding.compressed else self._encoded
        except zstandard.ZstdError as error:
            raise self._damaged(f"cannot be decompressed: {error}") from error

    def _narrow_to_inner_chunk(self) -> None:
        shard, name = self._encoded, self._name
        try:
            inner = inner_chunk_range(shard.tail(INDEX_BYTES), shard.length)
        except ValueError as error:
            raise damaged(self._path, f"in a shard of `{name}`, {error}", paths=(name,)) from error
        if inner is None:
            raise missing(self._path, f"a shard of `{name}` has no inner chunk", paths=(name,))
        shard.narrow(*inner)


def _open_range(location: Location, key: str) -> _RangeReader:
    """Opens an encoded chunk as a file."""
    base, name = location.base, location.name
    if not location.ocdbt:
        return _range_of(base / key, 0, None, name)
    reference = database_of(location).references().get(key)
    if reference is None:
        raise missing(base, f"the chunk `{key}` is missing", paths=(name,))
    if (content := reference.inline) is not None:
        return _RangeReader(io.BytesIO(content), base, 0, len(content))
    return _range_of(base / reference.file, reference.offset, reference.length, name)


def _range_of(path: Path, start: int, length: int | None, name: str) -> _RangeReader:
    try:
        file = path.open("rb", _BUCKET_BYTES if isinstance(path, BucketPath) else -1)
        return _RangeReader(file, path, start, path.stat().st_size if length is None else length)
    except OSError as error:
        raise unreadable(path, error, paths=(name,)) from error


class _RangeReader(io.RawIOBase):
    """Reads a byte range of a file; closing it closes the file.

    Attributes:
      path: the file.
      length: bytes of the range.
    """

    def __init__(self, file: BinaryIO, path: Path, start: int, length: int) -> None:
        self._file: Any = file
        self.path, self._start = path, 0
        self.narrow(start, length)

    def narrow(self, start: int, length: int) -> None:
        """Narrows the range to a part of itself; `start` counts from its present start."""
        self._start, self.length, self._left = self._start + start, length, length
        self._file.seek(self._start)

    def whole(self) -> memoryview:
        """Returns the bytes of the range, as far as the file has them."""
        self.narrow(0, self.length)
        content, filled = np.empty(self.length, np.uint8).data, 0
        try:
            file: Any = self._file
            while filled < self.length and (count := file.readinto(content[filled:])):
                filled += count
        except OSError as error:  # which names no file
            raise unreadable(self.path, error) from error
        return content[:filled]

    def tail(self, count: int) -> bytes:
        """Returns the last `count` bytes, or all if there are fewer; call `narrow` before the next read."""
        count = min(count, self.length)
        self._file.seek(self._start + self.length - count)
        content: bytes = self._file.read(count)
        return content

    def readable(self) -> bool:
        """Returns True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads the next bytes, at most to the end of the range."""
        try:
            count: int = self._file.readinto(memoryview(buffer)[: self._left])
        except OSError as error:  # which names no file
            raise unreadable(self.path, error) from error
        self._left -= count
        return count

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes, at most to the end of the range; the base class would copy them twice."""
        try:
            content: bytes = self._file.read(self._left if size < 0 else min(size, self._left))
        except OSError as error:
            raise unreadable(self.path, error) from error
        self._left -= len(content)
        return content

    def close(self) -> None:
        """Closes the reader and the file."""
        self._file.close()
        super().close()
