"""Writes the file that records the digests of a checkpoint, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from migrate.formats.digest_record import FILE, DigestRecord
from migrate.text_files import write_text


def write_record(folder: Path, record: DigestRecord) -> None:
    """Writes the record of digests into the directory of a checkpoint by one rename; an earlier record is replaced.

    Raises:
      OSError: it cannot be written.
    """
    write_text(folder / FILE, record.to_text())
