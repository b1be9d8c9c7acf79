"""The staging store of a file, or of several: every array is written at its final offset.

The files are in the working directory beside DST, with a note of the metadata that decided the layout, so that a killed
run is resumed in the same files.
"""

from __future__ import annotations

import bisect
import itertools
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
from migrate.engine.outputs.file_layout import ONE_FILE, FileLayout, FileRange
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.array_bytes import contiguous, digest_of, raw_bytes
from migrate.engine.streaming.store import Done
from migrate.formats.digest_record import Blocks
from migrate.platforms import sync_data
from migrate.tree import AbstractLeaf, KeyPath

SYNC_BYTES = 64 << 20
SYNC_ARRAYS = 512
"""Bytes and arrays that are made durable together."""

_NOTE = "file.json"


def file_of(directory: Path, name: str = ONE_FILE) -> Path:
    """Returns the path of a staged file."""
    return directory / name


def recall(directory: Path) -> Mapping[str, Any] | None:
    """Returns the note of a store; None without one, or where a file does not match it.

    A file with a second hard link was published by a run that was killed right after: it must not be written again.
    """
    try:
        note: Mapping[str, Any] = json.loads((directory / _NOTE).read_bytes())
        found = [(file_of(directory, name).stat(), size) for name, size in note["sizes"].items()]
        return note if all(file.st_size == size and file.st_nlink == 1 for file, size in found) else None
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remember(directory: Path, note: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    """Creates a store: empty files of `sizes` bytes, and a note that appears whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        file_of(directory, name).unlink(missing_ok=True)
        with file_of(directory, name).open("xb") as file:
            file.truncate(size)
    draft = directory / f"{_NOTE}.new"
    with draft.open("w", encoding="utf-8") as text:
        json.dump({**note, "sizes": sizes}, text)
        text.flush()
        os.fsync(text.fileno())
    draft.replace(directory / _NOTE)


Encode = Callable[[AbstractLeaf, np.ndarray[Any, Any]], memoryview]
"""Returns the bytes of an array or number in the file."""


class FileStore:
    """Writes arrays and numbers into the files that `remember` created in `directory`; thread-safe.

    A context manager that makes everything durable on exit, unless there was an error.
    """

    def __init__(self, directory: Path, layout: FileLayout, encode: Encode) -> None:
        self.directory = directory
        self._encode = encode
        self._layout = layout
        self._files = _Files(directory, layout.sizes)
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
            self._files.close()

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
            self._files.write(part, region.offset + start)
            content, start = content[len(part) :], max(start - region.nbytes, 0)
        assert not content, "a leaf has as many bytes as its ranges"

    def flush(self) -> None:
        """Makes everything durable that was written so far."""
        with self._lock:
            waiting, self._waiting, self._nbytes = self._waiting, [], 0
        if waiting:
            self._files.sync()
        for staged, done in waiting:
            done(staged)

    def tiled(self, path: KeyPath, leaf: AbstractLeaf, tile: Sequence[int], codec: str | None, done: Done) -> FileTiles:
        """Begins an array that is written tile by tile."""
        del tile, codec
        assert leaf.aval is not None
        staged = describe(path, leaf, dtypes.to_numpy(leaf.aval.dtype), "")
        return FileTiles(self, staged, self._layout.ranges[path], done)

    def finish(self, fixed: Mapping[int, bytes]) -> None:
        """Writes the bytes that do not depend on values, and makes the files durable."""
        for offset, content in fixed.items():
            self._files.write(memoryview(content), offset)
        self._files.sync()

    def sync(self) -> None:
        """Makes everything durable that was written so far."""
        self._files.sync()


class _Files:
    """The open files of a store, addressed by offsets that count on from one file to the next."""

    def __init__(self, directory: Path, sizes: Mapping[str, int]) -> None:
        self._starts = [0, *itertools.accumulate(sizes.values())]
        self._open: list[int] = []
        try:
            for name in sizes:
                self._open.append(os.open(file_of(directory, name), os.O_WRONLY))
        except OSError:
            self.close()
            raise
        self._touched: set[int] = set()
        self._lock = threading.Lock()

    def write(self, content: memoryview, offset: int) -> None:
        """Writes bytes that are in one file."""
        if not content:
            return
        number = bisect.bisect_right(self._starts, offset) - 1
        with self._lock:
            self._touched.add(number)
        _write_all(self._open[number], content, offset - self._starts[number])

    def sync(self) -> None:
        """Makes durable what was written; the sizes of the files were durable before."""
        with self._lock:
            touched, self._touched = self._touched, set()
        for number in touched:
            sync_data(self._open[number])

    def close(self) -> None:
        """Closes all files."""
        for file in self._open:
            os.close(file)


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
