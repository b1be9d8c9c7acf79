"""Publication: the verified result becomes DST in one step; an old DST is kept until then."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from migrate.codes import DestinationExists
from migrate.engine.workspace.directory import Workspace
from migrate.errors import StoppedError

_AT_CWD = -100
_NOREPLACE = 1
_EXCHANGE = 2
"""`renameat2(2)`: AT_FDCWD, RENAME_NOREPLACE and RENAME_EXCHANGE."""


def publish(work: Workspace, destination: Path, *, overwrite: bool) -> None:
    """Moves the result to DST; with `overwrite`, an old DST takes the result's place in the working directory.

    Raises:
      StoppedError: DST appeared during the run and must not be replaced (`DestinationExists`).
      OSError: the result cannot be moved.
    """
    work.publishing.write_text(str(os.lstat(work.result).st_ino), encoding="ascii")
    if _appeared(work.result, destination):
        return
    if not overwrite:
        raise StoppedError(
            DestinationExists.at(
                f"`{destination}` appeared while this run was writing; nothing was published",
                help="move it away, or add `--overwrite`, and run the command again to resume",
            )
        )
    if not _renamed(work.result, destination, _EXCHANGE):
        _replace(work, destination)


def _appeared(result: Path, destination: Path) -> bool:
    """Moves the result to DST unless DST exists; returns whether it did.

    A plain rename is not enough: it would replace an existing file.
    """
    if os.path.lexists(destination):
        return False
    if not _renamed(result, destination, _NOREPLACE):
        if os.path.lexists(destination):
            return False
        os.rename(result, destination)  # no RENAME_NOREPLACE here: the check above has to do
    return True


def _renamed(one: Path, other: Path, how: int) -> bool:
    """Renames in one atomic step, with flags of `renameat2(2)`; returns whether the system could."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    return renameat2 is not None and (
        renameat2(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), ctypes.c_uint(how)) == 0
    )


def _replace(work: Workspace, destination: Path) -> None:
    """Replaces DST by two renames, where there is no exchange; the next run repairs a kill between them."""
    os.rename(destination, work.replaced)
    try:
        os.rename(work.result, destination)
    except OSError:
        os.rename(work.replaced, destination)
        raise
