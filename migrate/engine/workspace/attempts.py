"""The attempts at the shares of a plan: each has a journal of its own, and databases of its own in the staging stores.

The name of an attempt is used once, so that a process that repeats a share, or that was given up and still runs, never
writes where another one does. Processes on other machines share nothing but these files.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from migrate.engine.workspace.journal import BucketJournal, Journal, open_journal, read_header
from migrate.engine.workspace.lock import Holder, may_live, myself
from migrate.formats.zarr.key_places import PROCESS
from migrate.places.writable_path import WritableBucketPath

SHARES = "shares"
"""The directory of the journals, in the working directory."""

FOLDERS = f"{PROCESS}[0-9]*_[0-9a-f]*"
"""Matches the databases of attempts in a staging store. Orbax has this form of name for the database of a process."""

_JOURNAL = re.compile(r"(\d+_[0-9a-f]{6})\.jsonl", re.ASCII)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a share.

    Attributes:
      workspace: the working directory.
      name: the number of the share and a random part.
    """

    workspace: Path
    name: str

    @property
    def journal(self) -> Path:
        """The journal of the arrays that the attempt made durable: a file, or a directory in a bucket."""
        return self.workspace / SHARES / f"{self.name}.jsonl"

    @property
    def folder(self) -> str:
        """The name of its databases."""
        return f"{PROCESS}{self.name}"

    @property
    def scratch(self) -> Path:
        """A directory for scratch copies of this attempt."""
        return self.workspace / SHARES / f"{self.name}.scratch"

    @property
    def share(self) -> int:
        """The number of the share."""
        return int(self.name.partition("_")[0])

    @property
    def shares(self) -> int:
        """The number of shares into which the plan was divided; 0 where the journal does not tell."""
        return int(read_header(self.journal).get("shares", 0))

    @property
    def may_run(self) -> bool:
        """Whether the process that made the attempt may be running."""
        fields = read_header(self.journal).get("holder")
        return fields is not None and may_live(Holder(**fields))

    def begin(self, origin: Mapping[str, Any], shares: int) -> Journal | BucketJournal:
        """Begins its journal.

        Raises:
          OSError: it cannot be written.
          CheckpointError: it cannot be written to the bucket (`UnreachableBucket`).
        """
        self.journal.parent.mkdir(parents=True, exist_ok=True)
        about = {"shares": shares, "holder": asdict(myself()), "begun": time.time_ns()}
        return open_journal(self.journal, origin, about)

    def remove_journal(self) -> None:
        """Removes its journal, so that nothing is resumed from it."""
        if isinstance(self.journal, WritableBucketPath):
            self.journal.remove_below()
        else:
            self.journal.unlink(missing_ok=True)


def new_attempt(workspace: Path, share: int) -> Attempt:
    """Returns a new attempt at a share, by its number."""
    return Attempt(workspace, f"{share}_{uuid.uuid4().hex[:6]}")


def attempts(workspace: Path) -> list[Attempt]:
    """Returns every attempt in a working directory, the oldest first."""
    if isinstance(workspace, WritableBucketPath):
        return _attempts_in_bucket(workspace)
    with suppress(FileNotFoundError, NotADirectoryError):
        with os.scandir(workspace / SHARES) as entries:
            found = [(_age(entry), match[1]) for entry in entries if (match := _JOURNAL.fullmatch(entry.name))]
        return [Attempt(workspace, name) for _, name in sorted(found)]
    return []


def _age(entry: os.DirEntry[str]) -> int:
    with suppress(FileNotFoundError):
        return entry.stat().st_mtime_ns
    return 0


def _attempts_in_bucket(workspace: WritableBucketPath) -> list[Attempt]:
    """Returns every attempt by the time at which its process began it: objects have no times."""
    folder = workspace / SHARES
    folder.refresh()
    entries = folder.iterdir() if folder.exists() else ()
    found = [Attempt(workspace, match[1]) for entry in entries if (match := _JOURNAL.fullmatch(entry.name))]
    return sorted(found, key=lambda attempt: int(read_header(attempt.journal).get("begun", 0)))
