"""A path in a bucket that is written: DST, and what stands for its working directory.

Only DST is such a path, so that nothing can write to a source. An object appears whole or not at all; directories exist
as long as objects are below them.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from migrate.places import listings
from migrate.places.bucket_path import BucketPath
from migrate.places.objects import NONE, Objects


class WritableBucketPath(BucketPath):
    """A path in a bucket with the methods of `pathlib.Path` that write."""

    __slots__ = ()

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Does nothing: a directory appears with the first object in it."""
        del mode, parents, exist_ok

    def write_bytes(self, data: Any) -> int:
        """Writes the object in place of an earlier one; returns its size in bytes.

        Raises:
          CheckpointError: it cannot be written (`UnreachableBucket`).
        """
        content = bytes(data)
        Objects(self.bucket).write(self.key, content)
        self.refresh()
        return len(content)

    def write_text(
        self, data: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> int:
        """Writes text, in UTF-8 by default and with the line ends that it has, as `write_bytes`."""
        del newline
        return self.write_bytes(data.encode(encoding or "utf-8", errors or "strict"))

    def write_new(self, content: bytes) -> bytes:
        """Writes an object that does not exist; returns its generation.

        Raises:
          FileExistsError: it exists.
          CheckpointError: it cannot be written (`UnreachableBucket`).
        """
        generation = self.exchange(content, NONE)
        if generation is None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self))
        return generation

    def exchange(self, content: bytes | None, generation: bytes) -> bytes | None:
        """Writes or deletes the object if it has this generation; returns its new one, None if it has another.

        Raises:
          CheckpointError: it cannot be written (`UnreachableBucket`).
        """
        written = Objects(self.bucket).write(self.key, content, generation)
        self.refresh()
        return written

    def read_new(self) -> tuple[bytes, bytes] | None:
        """Returns content and generation of the object as they are now; None if there is none.

        Raises:
          CheckpointError: it cannot be read (`UnreachableBucket`).
        """
        return Objects(self.bucket).read_with_generation(self.key)

    def unlink(self, missing_ok: bool = False) -> None:
        """Deletes the object.

        Raises:
          FileNotFoundError: there is none, unless `missing_ok`.
          CheckpointError: it cannot be deleted (`UnreachableBucket`).
        """
        if not missing_ok and not self.is_file():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        Objects(self.bucket).delete([self.key])
        self.refresh()

    def remove_below(self, keep: frozenset[str] = frozenset()) -> None:
        """Deletes every object below this directory, except those of some names in it.

        Raises:
          CheckpointError: one cannot be deleted (`UnreachableBucket`).
        """
        prefix = f"{self.key}/"
        objects = Objects(self.bucket)
        objects.delete([key for key in objects.keys(prefix) if key.removeprefix(prefix) not in keep])
        self.refresh()

    def refresh(self) -> None:
        """Forgets what was listed and read at, above and below this path."""
        listings.refresh(*self.location)
