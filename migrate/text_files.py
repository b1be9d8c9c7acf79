"""Writes text files whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from migrate.places.writable_path import WritableBucketPath


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a file by one rename, so that a reader finds the old content or the new; the permissions are kept.

    An object in a bucket is written as a whole.

    A link is followed. What is no regular file, such as `/dev/stdout`, is written in place.

    Args:
      path: the file.
      text: its new content, written in UTF-8 with the line ends that it has.

    Raises:
      OSError: it cannot be written.
    """
    if isinstance(path, WritableBucketPath):
        path.write_text(text)
        return
    place = Path(os.path.realpath(path))
    if os.path.exists(path) and not place.is_file():
        Path(path).write_text(text, encoding="utf-8", newline="\n")
        return
    draft = place.with_name(draft_of(place.name, os.getpid()))
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            draft.chmod(stat.S_IMODE(place.stat().st_mode))
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(place.parent)


def draft_of(name: str, process: int | str) -> str:
    """Returns the name of the file in which a process writes the new content of a file."""
    return f".{name}.{process}.new"


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
