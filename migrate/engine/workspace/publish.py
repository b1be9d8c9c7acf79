"""Publication: the verified result becomes DST in one step, and what DST was before is never in danger."""

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
    """Moves the result into place; with `overwrite`, what was there changes places with it.

    Raises:
      StoppedError: something appeared at the destination meanwhile, and may not be replaced (M501).
      OSError: it cannot be moved.
    """
    if _appeared(work.result, destination):
        return
    if not overwrite:
        raise StoppedError(
            DestinationExists.at(
                f"{destination} appeared while this run was writing; nothing was published",
                help="move it away, or add `--overwrite`, and run the command again: it goes on from here",
            )
        )
    if not _renamed(work.result, destination, _EXCHANGE):
        _replace(work, destination)


def _appeared(result: Path, destination: Path) -> bool:
    """Whether the result could be moved to where nothing is: a file, unlike a directory, would replace another."""
    if os.path.lexists(destination):
        return False
    if not _renamed(result, destination, _NOREPLACE):
        if os.path.lexists(destination):
            return False
        os.rename(result, destination)  # a system or a file system that cannot make sure of it
    return True


def _renamed(one: Path, other: Path, how: int) -> bool:
    """Whether the system could do it, in one step that no kill can cut in two."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    return renameat2 is not None and (
        renameat2(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), ctypes.c_uint(how)) == 0
    )


def _replace(work: Workspace, destination: Path) -> None:
    """Two steps for the systems that cannot exchange; whoever opens the working directory next mends a kill between."""
    os.rename(destination, work.replaced)
    try:
        os.rename(work.result, destination)
    except OSError:
        os.rename(work.replaced, destination)
        raise
