"""The working directory beside DST: who holds it, what survives a failed run, and what is removed.

It is on the file system of DST, so that the result appears there by a rename. Its name contains the plan's digest, so
that the same command finds it again and no other command does. A directory that no run needs, because a run was killed
after it had published or before it had staged an array, is removed by the next command on DST (`clear_needless`).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from migrate.codes import LeftoverWorkspace
from migrate.engine.workspace import lock
from migrate.engine.workspace.attempts import FOLDERS, SHARES, Attempt, attempts
from migrate.engine.workspace.journal import names_arrays
from migrate.errors import Diagnostic, PlanError, RefusedError, VerifyError
from migrate.places.bucket_path import BucketPath

_ATTEMPTS = 3
"""How often a directory is created that another command clears at the same moment."""

INCURABLE = (RefusedError, PlanError, VerifyError)
"""Errors that the same command would raise again: nothing is kept after them."""


@dataclass(frozen=True)
class Workspace:
    """A working directory that this run holds.

    Attributes:
      path: the directory.
      source: the fingerprint of the source's files, for the record of the new checkpoint; None where it is unknown.
      notes: findings in the directory and beside it.
    """

    path: Path
    source: str | None = None
    notes: list[Diagnostic] = field(default_factory=list)

    @property
    def journal(self) -> Path:
        """The journal of staged arrays."""
        return self.path / "journal.jsonl"

    @property
    def staged(self) -> Path:
        """The directory of the staging stores."""
        return self.path / "staged"

    @property
    def result(self) -> Path:
        """The checkpoint between its commit and its publication."""
        return self.path / "result"

    @property
    def replaced(self) -> Path:
        """The old DST, between its replacement and the removal of this directory."""
        return self.path / "replaced"

    @property
    def publishing(self) -> Path:
        """The inode of the result, written before it is published; with this file and without the result, it was."""
        return self.path / "publishing"

    def store(self, place: str) -> Path:
        """Returns the staging store of an item, for the directory of its arrays relative to the checkpoint."""
        return self.staged / (place or "item")

    @property
    def has_arrays(self) -> bool:
        """Whether a journal, that of the run or of a share, names any array."""
        return names_arrays(self.journal) or any(names_arrays(one.journal) for one in attempts(self.path))

    @property
    def has_live_attempts(self) -> bool:
        """Whether a process may be staging a share."""
        return any(attempt.may_run for attempt in attempts(self.path))

    def start_over(self, keep: Collection[Attempt] = (), *, stores: bool = False) -> None:
        """Removes what earlier runs staged: journals first, so that none names an array that is gone.

        Args:
          keep: attempts at shares whose journals and directories stay.
          stores: whether the staging stores stay with the attempts, which have written into them.
        """
        self.journal.unlink(missing_ok=True)
        self.remove_attempts(keep)
        if not keep:
            shutil.rmtree(self.staged, ignore_errors=True)
        if stores or not keep:
            return
        kept = {attempt.folder for attempt in keep}
        for entry in self.staged.glob("*/*"):
            if entry.name not in kept:
                _remove(entry)

    def remove_attempt(self, attempt: Attempt) -> None:
        """Removes an attempt."""
        attempt.remove_journal()
        for folder in self.staged.glob(f"*/{attempt.folder}"):
            _remove(folder)

    def remove_attempts(self, keep: Collection[Attempt] = ()) -> None:
        """Removes the attempts at shares that are not kept."""
        for attempt in attempts(self.path):
            if attempt not in keep:
                attempt.remove_journal()
        kept = {attempt.folder for attempt in keep}
        for folder in self.staged.glob(f"*/{FOLDERS}"):
            if folder.name not in kept:
                _remove(folder)


def workspace_path(destination: Path, plan_digest: str) -> Path:
    """Returns the working directory of a plan.

    Args:
      destination: DST, or the path beside which the directory is; absolute.
      plan_digest: `sha256:` and hex digits.
    """
    return destination.parent / f"{_prefix(destination)}{plan_digest.removeprefix('sha256:')[:12]}"


def is_unfinished(destination: Path, plan_digest: str) -> bool:
    """Returns whether an earlier run of this plan left arrays to resume from."""
    return Workspace(workspace_path(destination, plan_digest)).has_arrays


def clear_needless(destination: Path, beside: Path | None = None) -> None:
    """Removes the working directories beside DST that no run needs, unless a live process may hold them.

    A run that was killed after it had published leaves such a directory, and one that was killed before it had staged
    an array. Directories that cannot be removed stay.

    Args:
      destination: DST.
      beside: the path beside which they are, where it is not DST.
    """
    if isinstance(destination, BucketPath):
        return
    with suppress(OSError):
        destination = Path(os.path.abspath(destination))
        beside = beside or destination
        name = re.compile(re.escape(_prefix(beside)) + "[0-9a-f]{12}")
        for entry in list(os.scandir(beside.parent)):
            if name.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                _clear(Workspace(Path(entry.path)), destination)


def _clear(work: Workspace, destination: Path) -> None:
    if not _is_needless(work, destination):
        return
    with suppress(RefusedError, OSError):
        lock.take(work.path)
        if _is_needless(work, destination):  # a run may have begun before the lock was taken
            _discard(work)
        else:
            lock.release(work.path)


def _is_needless(work: Workspace, destination: Path) -> bool:
    if os.path.lexists(destination) and _was_published(work):
        return True
    if work.has_arrays or os.path.lexists(work.replaced):
        return False
    return not work.has_live_attempts


def _was_published(work: Workspace) -> bool:
    try:
        inode = int(work.publishing.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return False
    return not os.path.lexists(work.result) or os.lstat(work.result).st_ino != inode


@contextmanager
def open_workspace(
    destination: Path, plan_digest: str, source: str | None = None, beside: Path | None = None
) -> Iterator[Workspace]:
    """Creates the working directory, or opens it again, and locks it.

    With staged arrays it stays when the run is killed, is stopped, or fails for a cause that can be removed. It is
    removed after success and after an error that would come again.

    Args:
      destination: DST, absolute.
      plan_digest: `sha256:` and hex digits.
      source: the fingerprint of the source's files.
      beside: the path beside which the directory is, where it is not DST.

    Raises:
      RefusedError: another run holds it (`DestinationLocked`).
      OSError: it cannot be created.
    """
    beside = beside or destination
    work = Workspace(workspace_path(beside, plan_digest), source)
    note = _create(work.path)
    work.notes.extend([note] if note else [])
    try:
        _recover(work, destination)
        work.notes.extend(_leftovers(work.path, beside))
        yield work
    except BaseException as error:
        if isinstance(error, INCURABLE) or not (work.has_arrays or work.has_live_attempts):
            _discard(work)
        else:
            lock.release(work.path)
        raise
    _discard(work)


def _create(folder: Path) -> Diagnostic | None:
    """Creates the directory and takes its lock; tries again where another command clears it in between."""
    for _ in range(_ATTEMPTS):
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            return lock.take(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return lock.take(folder)


def _recover(work: Workspace, destination: Path) -> None:
    """Restores a DST that a killed run had set aside, and removes what only that run needed."""
    work.publishing.unlink(missing_ok=True)
    if os.path.lexists(work.replaced) and not os.path.lexists(destination):
        os.rename(work.replaced, destination)
    keep = {lock.NAME, work.journal.name, work.staged.name, SHARES}
    for entry in os.scandir(work.path):
        if entry.name not in keep:
            _remove(Path(entry.path))


def _discard(work: Workspace) -> None:
    """Removes the directory: the journal first, so that no run resumes from a part of it, and the lock last.

    After a kill in between, the directory names no array, so that the next command on DST removes the rest.
    """
    work.start_over()
    with suppress(OSError):
        for entry in os.scandir(work.path):
            if entry.name != lock.NAME:
                _remove(Path(entry.path))
        lock.release(work.path)
        work.path.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _prefix(destination: Path) -> str:
    return f".{destination.name}.migrate-"


def _leftovers(mine: Path, destination: Path) -> Iterator[Diagnostic]:
    """Finds working directories that other plans left beside the same DST."""
    for entry in os.scandir(destination.parent):
        if entry.name.startswith(_prefix(destination)) and entry.name != mine.name:
            yield LeftoverWorkspace.at(
                f"`{entry.path}` was left by a run of another plan: {_nbytes(Path(entry.path)) / 2**20:,.1f} MiB",
                help="run that command again to resume it, or delete the directory",
            )


def _nbytes(folder: Path) -> int:
    """Returns the bytes of all files below a directory."""
    total = 0
    for here, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):
                total += os.lstat(Path(here) / name).st_size
    return total
