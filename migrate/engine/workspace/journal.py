"""The journal of a run: which arrays are in the staging store, so that a killed run is gone on with.

A file of JSON lines that is only ever appended to. The first line says what the arrays were made from; each of the
others is one array, written when it is durable in the store. A line that a kill tore is as if it had never been.
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
from migrate.tree import KeyPath

SYNC_LINES = 64
SYNC_SECONDS = 1.0
"""Lines reach the operating system one by one, which survives a kill, and the disk after so many lines or so many
seconds, which survives a power cut: each costs milliseconds.
"""

VERSION = 1
"""Of this file's format; another one is not gone on with."""


class Journal:
    """A journal that is being written; a context manager. Not safe to use from several threads at once."""

    def __init__(self, path: Path, origin: Mapping[str, Any]) -> None:
        """Opens the journal at `path`, or begins it.

        Args:
          path: the file.
          origin: what the arrays are made from: plain values that JSON can hold.

        Raises:
          OSError: it cannot be written.
        """
        begun = _cut_torn_line(path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._unsynced = 0
        self._synced = time.monotonic()
        if not begun:
            self._append({"version": VERSION, "origin": dict(origin)})
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
        """Notes that an array is durable in its staging store.

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


def read_journal(path: Path, origin: Mapping[str, Any]) -> Mapping[KeyPath, StagedArray] | None:
    """The arrays that a journal names; of two lines for one array, the later.

    Args:
      path: the file.
      origin: what arrays are to be made from now.

    Returns:
      None when there is no journal, or when its arrays were made from something else.
    """
    lines = _lines(path)
    # What was written is what JSON makes of it: tuples came back as lists.
    if not lines or lines[0] != json.loads(json.dumps({"version": VERSION, "origin": dict(origin)})):
        return None
    return {tuple(line["path"]): StagedArray.from_json(line["array"]) for line in lines[1:] if "array" in line}


def names_arrays(path: Path) -> bool:
    """Whether there is a journal that has more to say than what it was begun for."""
    return len(_lines(path)) > 1


def _lines(path: Path) -> list[dict[str, Any]]:
    """Every whole line that is JSON; an array whose line a power cut damaged is done again."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return [line for text in content.split(b"\n")[:-1] if (line := _parsed(text)) is not None]


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _cut_torn_line(path: Path) -> bool:
    """Takes off what follows the last line's end, lest the next line is joined to it; whether anything is left."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    whole = content.rfind(b"\n") + 1
    os.truncate(path, whole)
    return whole > 0
