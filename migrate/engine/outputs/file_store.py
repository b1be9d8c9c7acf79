"""The staging store of a single file: every array is written at its final offset.

The file is in the working directory beside DST, with a note of the metadata that decided the layout, so that a killed
run is resumed in the same file.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from migrate import dtypes
from migrate.engine.outputs.array_record import describe
from migrate.engine.outputs.file_layout import FileLayout, FileRange
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.array_bytes import contiguous, digest_of, raw_bytes
from migrate.engine.streaming.store import Done
from migrate.formats.digest_record import Blocks
from migrate.tree import AbstractLeaf, KeyPath

SYNC_BYTES = 64 << 20
SYNC_ARRAYS = 512
"""Bytes and arrays that are made durable together."""

_FILE = "file"
_NOTE = "file.json"


def file_of(directory: Path) -> Path:
    """Returns the path of the staged file."""
    return directory / _FILE


def recall(directory: Path) -> Mapping[str, Any] | None:
    """Returns the note of a store; None without one, or where the file does not match it.

    A file with a second hard link was published by a run that was killed right after: it must not be written again.
    """
    try:
        note: Mapping[str, Any] = json.loads((directory / _NOTE).read_bytes())
        found = file_of(directory).stat()
        return note if found.st_size == note["size"] and found.st_nlink == 1 else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def remember(directory: Path, note: Mapping[str, Any], size: int) -> None:
    """Creates a store: an empty file of `size` bytes, and a note that appears whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    file_of(directory).unlink(missing_ok=True)
    with file_of(directory).open("xb") as file:
        file.truncate(size)
    draft = directory / f"{_NOTE}.new"
    with draft.open("w", encoding="utf-8") as text:
        json.dump({**note, "size": size}, text)
        text.flush()
        os.fsync(text.fileno())
    draft.replace(directory / _NOTE)


Encode = Callable[[AbstractLeaf, np.ndarray[Any, Any]], memoryview]
"""Returns the bytes of an array or number in the file."""


class FileStore:
    """Writes arrays and numbers into the file that `remember` created in `directory`; thread-safe.

    A context manager that makes everything durable on exit, unless there was an error.
    """

    def __init__(self, directory: Path, layout: FileLayout, encode: Encode) -> None:
        self.directory = directory
        self._encode = encode
        self._layout = layout
        self._file = os.open(file_of(directory), os.O_WRONLY)
        self._lock = threading.Lock()
        self._waiting: list[tuple[StagedArray, Done]] = []
        self._nbytes = 0

    def __enter__(self) -> FileStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            os.close(self._file)

    def write(
        self, path: KeyPath, leaf: AbstractLeaf, array: np.ndarray[Any, Any], *, codec: str | None, done: Done
    ) -> StagedArray:
        """Writes one array; it is durable when `done` is called, at the latest when `flush` has returned."""
        del codec
        whole = contiguous(array)
        found = digest_of(whole)
        staged = describe(path, leaf, whole.dtype, str(found), blocks=found.blocks)
        self.put(self._layout.ranges[path], 0, self._encode(leaf, whole))
        with self._lock:
            self._waiting.append((staged, done))
            self._nbytes += whole.nbytes
            full = self._nbytes >= SYNC_BYTES or len(self._waiting) >= SYNC_ARRAYS
        if full:
            self.flush()
        return staged

    def put(self, ranges: Sequence[FileRange], start: int, content: memoryview) -> None:
        """Writes bytes of a leaf, the first of which is byte `start` of the leaf."""
        for region in ranges:
            part = content[: max(region.nbytes - start, 0)] if start < region.nbytes else content[:0]
            _write_all(self._file, part, region.offset + start)
            content, start = content[len(part) :], max(start - region.nbytes, 0)
        assert not content, "a leaf has as many bytes as its ranges"

    def flush(self) -> None:
        """Makes everything durable that was written so far."""
        with self._lock:
            waiting, self._waiting, self._nbytes = self._waiting, [], 0
        if waiting:
            os.fdatasync(self._file)
        for staged, done in waiting:
            done(staged)

    def tiled(self, path: KeyPath, leaf: AbstractLeaf, tile: Sequence[int], codec: str | None, done: Done) -> FileTiles:
        """Begins an array that is written tile by tile."""
        del tile, codec
        assert leaf.aval is not None
        staged = describe(path, leaf, dtypes.to_numpy(leaf.aval.dtype), "")
        return FileTiles(self, staged, self._layout.ranges[path], done)

    def finish(self, fixed: Mapping[int, bytes]) -> None:
        """Writes the bytes that do not depend on values, and makes the whole file durable."""
        for offset, content in fixed.items():
            _write_all(self._file, memoryview(content), offset)
        os.fsync(self._file)

    def sync(self) -> None:
        """Makes everything durable that was written so far."""
        os.fdatasync(self._file)


class FileTiles:
    """One array that is written tile by tile, in C order."""

    def __init__(self, store: FileStore, staged: StagedArray, ranges: Sequence[FileRange], done: Done) -> None:
        self._store = store
        self._staged = staged
        self._ranges = ranges
        self._done = done
        self._position = 0

    def write(self, start: Sequence[int], tile: np.ndarray[Any, Any]) -> None:
        """Writes the next tile."""
        first = int(np.ravel_multi_index(tuple(start), self._staged.shape)) if start else 0
        assert first * tile.itemsize == self._position, "tiles follow one another in C order"
        content = raw_bytes(tile)
        self._store.put(self._ranges, self._position, content)
        self._position += len(content)

    def finish(self, value_digest: str, blocks: Blocks | None = None) -> StagedArray:
        """Returns when every tile is durable."""
        self._store.sync()
        staged = replace(self._staged, digest=value_digest, blocks=blocks)
        self._done(staged)
        return staged


def _write_all(file: int, content: memoryview, offset: int) -> None:
    while content:
        count = os.pwrite(file, content, offset)
        content, offset = content[count:], offset + count
