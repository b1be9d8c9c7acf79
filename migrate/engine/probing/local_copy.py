"""A checkpoint as a local directory: Orbax reads `gs://` with further packages only, and `s3://` not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrate.engine.linking.fetch import fetch
from migrate.places.bucket_path import BucketPath


@contextmanager
def local_copy(checkpoint: Path) -> Iterator[Path]:
    """Yields a checkpoint, or a copy of one in a bucket, which is in the directory for temporary files until the end.

    Raises:
      CheckpointError: an object cannot be read (`UnreachableBucket`).
      OSError: the copy cannot be written.
    """
    if not isinstance(checkpoint, BucketPath):
        yield checkpoint
        return
    with tempfile.TemporaryDirectory(prefix="migrate-probe-") as folder:
        for file in checkpoint.files_below():
            fetch(file, Path(folder) / file.relative_to(checkpoint))
        yield Path(folder)
