"""The values that the index of a database holds itself: shared where they are equal, in a file where they are many.

A chunk of at most 1 kB is a value of the index, so that the index of very many small arrays has all of their elements.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from contextlib import suppress

MEMORY_BYTES = 4 << 20
"""The bytes of chunks that an index keeps in memory; further ones are kept in a file."""

METADATA = (b".zarray", b"zarr.json")
"""The ends of the keys whose values many arrays have in common."""

_BUFFER_BYTES = 1 << 18


class InlineValues:
    """Keeps the inline values of one index."""

    def __init__(self) -> None:
        self._shared: dict[bytes, bytes] = {}
        self._bytes = 0
        self._file: ValueFile | None = None

    def keep(self, key: bytes, value: bytes) -> tuple[int, bytes | ValueFile]:
        """Keeps a value; returns 0 and the value itself, or its offset and the file that has it."""
        if key.endswith(METADATA):
            return 0, self._shared.setdefault(value, value)
        self._bytes += len(value)
        if self._bytes <= MEMORY_BYTES:
            return 0, value
        self._file = self._file or ValueFile()
        return self._file.add(value), self._file


class ValueFile:
    """Values in a file without a name, which is removed with this object; thread-safe.

    Where the file cannot be written, further values stay in memory.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written = 0
        self._pending = bytearray()
        self._descriptor = -1
        with suppress(OSError), tempfile.TemporaryFile() as file:
            self._descriptor = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._descriptor)
        self._is_full = self._descriptor < 0

    def add(self, value: bytes) -> int:
        """Adds a value; returns its offset."""
        with self._lock:
            offset = self._written + len(self._pending)
            self._pending += value
            if len(self._pending) >= _BUFFER_BYTES and not self._is_full:
                self._write()
            return offset

    def _write(self) -> None:
        content, at = bytes(self._pending), 0
        try:
            while at < len(content):
                at += os.pwrite(self._descriptor, content[at:], self._written + at)
        except OSError:
            self._is_full = True
            return
        self._written += len(content)
        self._pending.clear()

    def read(self, offset: int, length: int) -> bytes:
        """Returns the value of a length at an offset."""
        with self._lock:
            if offset >= self._written:
                start = offset - self._written
                return bytes(self._pending[start : start + length])
        return os.pread(self._descriptor, length, offset)
