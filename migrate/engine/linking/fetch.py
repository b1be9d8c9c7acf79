"""Copies a file of a source that is in a bucket to the local staging store."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from migrate.codes import WriteFailed
from migrate.errors import MigrateError
from migrate.places.bucket_path import BucketPath
from migrate.platforms import forget_pages

_READ_BYTES = 8 << 20


def fetch(source: BucketPath, target: Path) -> None:
    """Copies an object to a local file, which must not exist.

    `target` appears complete or not at all, so that a resumed run can trust a file that is already there: what was
    written is read from the file system again and compared with what was received.

    Raises:
      CheckpointError: the object cannot be read (`UnreachableBucket`), or is written meanwhile (`SourceChanged`).
      MigrateError: the file system returns other bytes (`WriteFailed`).
      OSError: the file cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.copying")
    received = hashlib.blake2b()
    with draft.open("wb") as file:
        for block in source.blocks():
            received.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        forget_pages(file.fileno())
    if _digest(draft) != received.digest():
        message = f"`{draft}` does not have the bytes that were written to it"
        raise MigrateError(WriteFailed.at(message, help="check the disk, and run the same command again"))
    draft.rename(target)


def _digest(file: Path) -> bytes:
    found = hashlib.blake2b()
    with file.open("rb") as content:
        while block := content.read(_READ_BYTES):
            found.update(block)
    return found.digest()
