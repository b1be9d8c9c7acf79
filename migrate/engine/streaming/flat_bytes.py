"""Reads arrays whose bytes are stored unencoded, in C order, in ranges of files.

They are read, not mapped: mapped pages count as memory of the process until they are unmapped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from migrate.formats.base import Extent
from migrate.formats.files import damaged, read_into, unreadable
from migrate.places.bucket_path import BucketPath

Array = np.ndarray[Any, Any]


class FlatBytes:
    """The bytes of one array; a context manager that keeps its files open."""

    def __init__(self, extents: Sequence[Extent]) -> None:
        self._extents = extents
        self._files: list[Any] = []
        self._stack = ExitStack()

    def __enter__(self) -> FlatBytes:
        with ExitStack() as stack:
            self._files = [stack.enter_context(part.file.open("rb", buffering=0)) for part in self._extents]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read_into(self, start: int, into: memoryview) -> None:
        """Reads bytes from `start` until `into` is full.

        Raises:
          CheckpointError: the file has become shorter or cannot be read.
        """
        for file, part in zip(self._files, self._extents, strict=True):
            wanted = into[: max(part.nbytes - start, 0)]
            if wanted and start < part.nbytes:
                _read_at(file, part.offset + start, wanted, part.file)
            into, start = into[len(wanted) :], max(start - part.nbytes, 0)


def flat_slabs(extents: Sequence[Extent], dtype: np.dtype[Any], size: int, elements: int) -> Iterator[Array]:
    """Yields the elements in order, in slabs that share their memory: each is valid until the next one.

    Args:
      extents: where the bytes are stored.
      dtype: the dtype of the array.
      size: the number of elements.
      elements: the number of elements of a slab; the last one may be smaller.
    """
    buffer = np.empty(min(size, elements), dtype)
    with FlatBytes(extents) as stored:
        for start in range(0, size, elements):
            slab = buffer[: size - start]
            stored.read_into(start * dtype.itemsize, slab.view(np.uint8).data)
            yield slab


def _read_at(file: Any, start: int, into: memoryview, path: Path) -> None:
    try:
        if isinstance(path, BucketPath):
            content = path.read_range(start, start + len(into))
            count, into[: len(content)] = len(content), content
        else:
            count = read_into(file.fileno(), into, start)
    except OSError as error:  # which names no file
        raise unreadable(path, error) from error
    if count < len(into):
        raise damaged(path, "it has become shorter")
