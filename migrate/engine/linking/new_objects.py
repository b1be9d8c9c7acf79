"""Writes many values of a store that is a directory in a bucket, in which each is an object."""

from __future__ import annotations

from pathlib import Path

from migrate.engine.linking.new_files import NewFiles
from migrate.places.objects import Objects, PendingWrite
from migrate.places.writable_path import WritableBucketPath

_PENDING_BYTES = 64 << 20
"""The most bytes that are being written at once."""


class NewObjects:
    """The objects that are being written below a directory; for one thread. The interface is that of `NewFiles`."""

    def __init__(self, folder: WritableBucketPath) -> None:
        self._folder = folder
        self._pending: list[PendingWrite] = []
        self._nbytes = 0

    def write(self, key: str, content: bytes) -> None:
        """Begins to write a value, in place of an earlier one.

        Raises:
          CheckpointError: an earlier one cannot be written (`UnreachableBucket`).
        """
        if self._nbytes > _PENDING_BYTES:
            self.sync()
        self._nbytes += len(content)
        place = self._folder / key
        self._pending.append(Objects(place.bucket).begin_write(place.key, content))

    def remove_below(self, prefix: str) -> None:
        """Removes the objects of an array.

        Raises:
          CheckpointError: one cannot be deleted (`UnreachableBucket`).
        """
        (self._folder / prefix).remove_below()

    def sync(self) -> None:
        """Returns when every object is written.

        Raises:
          CheckpointError: one cannot be written (`UnreachableBucket`).
        """
        for pending in self._pending:
            pending.result()
        self._pending.clear()
        self._nbytes = 0
        self._folder.refresh()


def new_files(folder: Path) -> NewFiles | NewObjects:
    """Returns the writer of values below a directory, local or in a bucket."""
    return NewObjects(folder) if isinstance(folder, WritableBucketPath) else NewFiles(folder)
