"""The progress of workers, as the journals of their shares show it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from migrate.engine.workspace.attempts import attempts
from migrate.engine.workspace.directory import Workspace
from migrate.engine.workspace.journal import new_paths
from migrate.places.bucket_path import BucketPath
from migrate.tree import KeyPath

_BUCKET_SECONDS = 3.0
"""The journals of shares in a bucket are read this often."""


class JournalTail:
    """Reports every array that a journal of a share begins to name, once."""

    def __init__(self, work: Workspace, told: Callable[[KeyPath], None], known: Iterable[KeyPath] = ()) -> None:
        """Begins to look.

        Args:
          work: the working directory.
          told: receives the key path of every array.
          known: arrays of earlier runs, which are not reported.
        """
        self._work = work
        self._told = told
        self._offsets: dict[str, int] = {}
        self._known = set(known)
        self._polled = time.monotonic()

    def poll(self) -> None:
        """Reads what was written since the last call, in a bucket every few seconds: requests take time and money."""
        if isinstance(self._work.path, BucketPath):
            if time.monotonic() - self._polled < _BUCKET_SECONDS:
                return
            self._polled = time.monotonic()
        for attempt in attempts(self._work.path):
            paths, offset = new_paths(attempt.journal, self._offsets.get(attempt.name, 0))
            self._offsets[attempt.name] = offset
            for path in paths:
                self.tell(path)

    def tell(self, path: KeyPath) -> None:
        """Reports an array, unless it was reported before."""
        if path not in self._known:
            self._known.add(path)
            self._told(path)
