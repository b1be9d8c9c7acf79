"""Writes the record of digests of a directory, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from migrate.formats.digest_record import FILE, DigestRecord


def write_record(folder: Path, record: DigestRecord) -> None:
    """Writes the record into the directory of a checkpoint by one rename; an earlier record is replaced.

    Raises:
      OSError: it cannot be written.
    """
    draft = folder / f".{FILE}.{os.getpid()}.new"
    try:
        with draft.open("w", encoding="ascii") as file:
            file.write(record.to_text())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / FILE)
    finally:
        draft.unlink(missing_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
