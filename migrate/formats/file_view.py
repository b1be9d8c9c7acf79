"""The bytes of a file, read where they are asked for.

A memory map would be shorter, but an access to one of its pages kills the process (SIGBUS) if another program has
truncated the file in the meantime.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from migrate.formats.files import damaged
from migrate.places.bucket_path import BucketPath

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

_WINDOW_BYTES = 8 << 10
"""The bytes that are read at once where few are asked for."""
_BUCKET_WINDOW_BYTES = 256 << 10
"""The same in a bucket, where each read is a request."""
_READ_BYTES = 1 << 30
"""The most bytes of one system call; Linux reads at most 2 GiB."""


_Fill = Callable[[memoryview, int], int]
"""Reads bytes at an offset into a view; returns their number."""


class FileView:
    """Reads a file by offsets, like `bytes`; thread-safe. It keeps the file open as long as it exists."""

    def __init__(self, path: Path) -> None:
        """Opens a file.

        Raises:
          CheckpointError: it is empty (`DamagedFile`).
          OSError: it cannot be opened.
        """
        self.path = path
        self._window = (0, b"")
        self._window_bytes = _WINDOW_BYTES
        if isinstance(path, BucketPath):
            self._fill: _Fill = partial(_fill_from_bucket, path)
            self._size = path.stat().st_size
            self._window_bytes = _BUCKET_WINDOW_BYTES
        else:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, file)
            self._fill = partial(_fill_from_file, file)
            self._size = os.fstat(file).st_size
        if not self._size:
            raise damaged(path, "it is empty")

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, where: int) -> int: ...
    @overload
    def __getitem__(self, where: slice) -> bytes: ...
    def __getitem__(self, where: int | slice) -> int | bytes:
        if isinstance(where, int):
            begin, window = self._window
            if not begin <= where < begin + len(window):
                begin, window = self._moved(where)
            return window[where - begin]
        start, stop, _ = where.indices(self._size)
        begin, window = self._window
        if stop - start <= self._window_bytes and not begin <= start <= stop <= begin + len(window):
            begin, window = self._moved(start)
        if begin <= start and stop <= begin + len(window):
            return window[start - begin : max(stop, start) - begin]
        return bytes(self._read(start, stop - start))

    def array(self, dtype: np.dtype[Any], count: int, offset: int) -> np.ndarray[Any, Any]:
        """Returns elements as an array of one axis, which is read-only.

        Raises:
          CheckpointError: the file has become shorter (`DamagedFile`).
          OSError: it cannot be read.
        """
        import numpy as np

        if not count:
            return np.empty(0, dtype)
        array = np.empty(count, dtype)  # unlike a bytearray, not filled with zeros first
        self._read_into(array.view(np.uint8).data, offset)
        array.flags.writeable = False
        return array

    def _moved(self, start: int) -> tuple[int, bytes]:
        self._window = (start, bytes(self._read(start, min(self._window_bytes, self._size - start))))
        return self._window

    def _read(self, start: int, count: int) -> bytearray:
        content = bytearray(count)
        self._read_into(memoryview(content), start)
        return content

    def _read_into(self, view: memoryview, start: int) -> None:
        done = 0
        while done < len(view):
            part = self._fill(view[done : done + _READ_BYTES], start + done)
            if not part:
                raise damaged(self.path, "it has become shorter")
            done += part


def _fill_from_file(file: int, view: memoryview, start: int) -> int:
    return os.preadv(file, [view], start)


def _fill_from_bucket(path: BucketPath, view: memoryview, start: int) -> int:
    found = path.read_range(start, start + len(view))
    view[: len(found)] = found
    return len(found)
