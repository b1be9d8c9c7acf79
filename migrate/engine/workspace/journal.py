"""The journal of a run: the arrays that are durable in the staging stores, so that a killed run can be resumed.

A file of JSON lines that is only appended to. The first line records the origin of the arrays; every other line is one
array, written once the array is durable in its store. A line that a kill cut off is ignored.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from migrate.engine.staged_array import StagedArray
from migrate.places.bucket_path import BucketPath
from migrate.places.writable_path import WritableBucketPath
from migrate.tree import KeyPath

SYNC_LINES = 64
SYNC_SECONDS = 1.0
"""Each line reaches the operating system at once, which survives a kill, and the disk after this many lines or seconds,
which survives a power cut: each sync costs milliseconds.
"""

PART_SECONDS = 2.0
"""The shortest time between two objects of a journal in a bucket."""

VERSION = 2
"""The version of the file's format; a journal of another version is not resumed."""


class Journal:
    """Writes a journal; a context manager. Not thread-safe."""

    def __init__(self, path: Path, origin: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> None:
        """Opens the journal at `path`, or begins it.

        Args:
          path: the file.
          origin: the origin of the arrays: plain JSON values.
          about: further fields of the first line, about the process that writes.

        Raises:
          OSError: the file cannot be written.
        """
        begun = _cut_torn_line(path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._unsynced = 0
        self._synced = time.monotonic()
        if not begun:
            self._append({"version": VERSION, "origin": dict(origin), **(about or {})})
            self._sync()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._sync()
        finally:
            os.close(self._descriptor)

    def record(self, path: KeyPath, staged: StagedArray) -> None:
        """Records that an array is durable in its staging store.

        Raises:
          OSError: the line cannot be written.
        """
        self._append({"path": list(path), "array": staged.to_json()})
        if self._unsynced >= SYNC_LINES or time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync()

    def _append(self, line: Mapping[str, Any]) -> None:
        rest = memoryview(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._unsynced += 1

    def _sync(self) -> None:
        os.fsync(self._descriptor)
        self._unsynced = 0
        self._synced = time.monotonic()


class BucketJournal:
    """A journal in a bucket, where nothing can be appended to: each part is an object; a context manager.

    An object has the lines since the one before it. It is written at the latest with the next line after
    `PART_SECONDS`, so that a killed run stages again what it had staged since then.
    """

    def __init__(
        self, folder: WritableBucketPath, origin: Mapping[str, Any], about: Mapping[str, Any] | None = None
    ) -> None:
        """Opens the journal below `folder`, or begins it; arguments as in `Journal`.

        Raises:
          CheckpointError: an object cannot be written (`UnreachableBucket`).
        """
        self._folder = folder
        folder.refresh()
        self._next = 1 + max((int(part.name) for part in _parts(folder)), default=0)
        self._lines: list[str] = []
        self._written = time.monotonic()
        if self._next == 1:
            header = {"version": VERSION, "origin": dict(origin), **(about or {})}
            self._lines.append(json.dumps(header, separators=(",", ":")))
            self._write()

    def __enter__(self) -> BucketJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()

    def record(self, path: KeyPath, staged: StagedArray) -> None:
        """Records that an array is durable in its staging store.

        Raises:
          CheckpointError: an object cannot be written (`UnreachableBucket`).
        """
        self._lines.append(json.dumps({"path": list(path), "array": staged.to_json()}, separators=(",", ":")))
        if time.monotonic() - self._written >= PART_SECONDS:
            self._write()

    def _write(self) -> None:
        if self._lines:
            part: WritableBucketPath = self._folder / f"{self._next:08}"
            part.write_new("".join(f"{line}\n" for line in self._lines).encode())
            self._next += 1
        self._lines.clear()
        self._written = time.monotonic()


def open_journal(
    path: Path, origin: Mapping[str, Any], about: Mapping[str, Any] | None = None
) -> Journal | BucketJournal:
    """Opens or begins the journal of a working directory; arguments as in `Journal`."""
    return BucketJournal(path, origin, about) if isinstance(path, WritableBucketPath) else Journal(path, origin, about)


def _parts(folder: BucketPath) -> list[BucketPath]:
    """Returns the objects of a journal, in order."""
    return sorted(part for part in folder.files_below() if part.name.isdecimal())


def read_journal(path: Path, origin: Mapping[str, Any]) -> Mapping[KeyPath, StagedArray] | None:
    """Returns the arrays that a journal names; of two lines for one array, the later.

    Args:
      path: the file.
      origin: the origin of the arrays of this run.

    Returns:
      None without a journal, and for a journal of another origin.
    """
    lines = _lines(path)
    # Through JSON, as the journal was: tuples become lists.
    meant = json.loads(json.dumps({"version": VERSION, "origin": dict(origin)}))
    if not lines or {name: lines[0].get(name) for name in meant} != meant:
        return None
    return {tuple(line["path"]): StagedArray.from_json(line["array"]) for line in lines[1:] if "array" in line}


def read_header(path: Path) -> Mapping[str, Any]:
    """Returns the first line of a journal; empty where there is none."""
    return next(iter(_lines(path)), {})


def new_paths(path: Path, offset: int) -> tuple[list[KeyPath], int]:
    """Returns the arrays that a journal names after an offset in bytes, and the offset of the next line.

    A journal that another process is writing is read bit by bit with it; none where the journal is gone.
    """
    try:
        if isinstance(path, BucketPath):
            path.refresh()
            content = _content(path)[offset:]
        else:
            with path.open("rb") as file:
                file.seek(offset)
                content = file.read()
    except FileNotFoundError:
        return [], offset
    whole = content.rfind(b"\n") + 1
    lines = [line for text in content[:whole].split(b"\n") if (line := _parsed(text)) is not None]
    return [tuple(line["path"]) for line in lines if "array" in line], offset + whole


def names_arrays(path: Path) -> bool:
    """Returns whether there is a journal that names any array."""
    return len(_lines(path)) > 1


def _lines(path: Path) -> list[dict[str, Any]]:
    """Returns every complete line that is JSON; an array whose line a power cut damaged is staged again."""
    try:
        content = _content(path)
    except FileNotFoundError:
        return []
    return [line for text in content.split(b"\n")[:-1] if (line := _parsed(text)) is not None]


def _content(path: Path) -> bytes:
    if isinstance(path, BucketPath):
        return b"".join(part.read_bytes() for part in _parts(path))
    return path.read_bytes()


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _cut_torn_line(path: Path) -> bool:
    """Cuts off an incomplete last line, which would run into the next; returns whether any line is left."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    whole = content.rfind(b"\n") + 1
    os.truncate(path, whole)
    return whole > 0
