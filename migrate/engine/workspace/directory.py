"""The working directory beside DST: whose it is, what survives a run that did not end well, and what is cleared away.

It lies on the file system of DST, so that the result appears there by a rename, and its name carries the plan's digest,
so that the same command finds it again and no other does.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from migrate.codes import LeftoverWorkspace
from migrate.engine.workspace import lock
from migrate.engine.workspace.journal import names_arrays
from migrate.errors import Diagnostic, PlanError, RefusedError, VerifyError

INCURABLE = (RefusedError, PlanError, VerifyError)
"""Errors that come again however often the same command is run: nothing is kept for it."""


@dataclass(frozen=True)
class Workspace:
    """A working directory that this run holds.

    Attributes:
      path: the directory.
      notes: what was found there and beside it.
    """

    path: Path
    notes: list[Diagnostic] = field(default_factory=list)

    @property
    def journal(self) -> Path:
        """The journal of what is staged."""
        return self.path / "journal.jsonl"

    @property
    def staged(self) -> Path:
        """Where the staging stores are."""
        return self.path / "staged"

    @property
    def result(self) -> Path:
        """Where the checkpoint is committed and verified before it is published."""
        return self.path / "result"

    @property
    def replaced(self) -> Path:
        """Where the old DST is between its removal and that of this directory."""
        return self.path / "replaced"

    def store(self, item: str) -> Path:
        """The staging store of an item."""
        return self.staged / (item or "item")

    def start_over(self) -> None:
        """Forgets what an earlier run has staged; the journal goes first, so that it never speaks of what is gone."""
        self.journal.unlink(missing_ok=True)
        shutil.rmtree(self.staged, ignore_errors=True)


def workspace_path(destination: Path, plan_digest: str) -> Path:
    """Where the working directory of a plan is.

    Args:
      destination: DST, absolute.
      plan_digest: `sha256:` and hex digits.
    """
    return destination.parent / f"{_prefix(destination)}{plan_digest.removeprefix('sha256:')[:12]}"


def is_unfinished(destination: Path, plan_digest: str) -> bool:
    """Whether an earlier run of this plan left something to go on from."""
    return names_arrays(Workspace(workspace_path(destination, plan_digest)).journal)


@contextmanager
def open_workspace(destination: Path, plan_digest: str) -> Iterator[Workspace]:
    """The working directory, made or found again, locked.

    It stays when the run is killed, stopped or fails in a way that may be cured, and something was staged; it is gone
    after success and after an error that would come again.

    Raises:
      RefusedError: another run holds it (M509).
      OSError: it cannot be made.
    """
    work = Workspace(workspace_path(destination, plan_digest))
    work.path.mkdir(parents=True, exist_ok=True)
    note = lock.take(work.path)
    work.notes.extend([note] if note else [])
    try:
        _recover(work, destination)
        work.notes.extend(_leftovers(work.path, destination))
        yield work
    except BaseException as error:
        if isinstance(error, INCURABLE) or not names_arrays(work.journal):
            _discard(work)
        else:
            lock.release(work.path)
        raise
    _discard(work)


def _recover(work: Workspace, destination: Path) -> None:
    """Puts back a DST that a killed run had set aside, and clears away what is only of use within one run."""
    if os.path.lexists(work.replaced) and not os.path.lexists(destination):
        os.rename(work.replaced, destination)
    keep = {lock.NAME, work.journal.name, work.staged.name}
    for entry in os.scandir(work.path):
        if entry.name not in keep:
            _remove(Path(entry.path))


def _discard(work: Workspace) -> None:
    """Removes the directory: the journal first, so that nobody goes on with a part of it, and the lock last."""
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
    """Working directories that other plans left beside the same DST."""
    for entry in os.scandir(destination.parent):
        if entry.name.startswith(_prefix(destination)) and entry.name != mine.name:
            yield LeftoverWorkspace.at(
                f"{entry.path} is what a run with another plan left: {_nbytes(Path(entry.path)) / 2**20:,.1f} MiB",
                help="run that command again to go on with it, or delete the directory",
            )


def _nbytes(folder: Path) -> int:
    """Bytes of all files below a directory."""
    total = 0
    for here, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):
                total += os.lstat(Path(here) / name).st_size
    return total
