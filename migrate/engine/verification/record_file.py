"""Writes the small files in which a checkpoint records what is in it, whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from migrate.formats.digest_record import FILE, DigestRecord


def write_record(folder: Path, record: DigestRecord) -> None:
    """Writes the record of digests into the directory of a checkpoint by one rename; an earlier record is replaced.

    Raises:
      OSError: it cannot be written.
    """
    replace_file(folder / FILE, record.to_text())


def replace_file(place: Path, text: str) -> None:
    """Writes a file by one rename; a file that exists is replaced and its permissions are kept.

    Args:
      place: the file.
      text: its new content, in ASCII.

    Raises:
      OSError: it cannot be written.
    """
    draft = place.with_name(draft_of(place.name, os.getpid()))
    try:
        with draft.open("w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            draft.chmod(stat.S_IMODE(place.stat().st_mode))
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
    descriptor = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def draft_of(name: str, process: int | str) -> str:
    """Returns the name of the file in which a process writes the new content of a file."""
    return f".{name}.{process}.new"
