"""Publication: the verified result becomes DST in one step, and what DST was before is never in danger."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from migrate.codes import M501
from migrate.engine.workspace import Workspace
from migrate.errors import StoppedError

_AT_CWD = -100
_EXCHANGE = 2
"""`renameat2(2)`: AT_FDCWD and RENAME_EXCHANGE."""


def publish(work: Workspace, destination: Path, *, overwrite: bool) -> None:
    """Moves the result into place; with `overwrite`, what was there changes places with it.

    Raises:
      StoppedError: something appeared at the destination meanwhile, and may not be replaced (M501).
      OSError: it cannot be moved.
    """
    if not os.path.lexists(destination):
        os.rename(work.result, destination)
    elif not overwrite:
        raise StoppedError(
            M501.at(
                f"{destination} appeared while this run was writing; nothing was published",
                help="move it away, or add `--overwrite`, and run the command again: it goes on from here",
            )
        )
    elif not _exchanged(work.result, destination):
        _replace(work, destination)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether the system could make the two change places, in one step that no kill can cut in two."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    return renameat2 is not None and (
        renameat2(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), ctypes.c_uint(_EXCHANGE)) == 0
    )


def _replace(work: Workspace, destination: Path) -> None:
    """Two steps for the systems that cannot exchange; whoever opens the working directory next mends a kill between."""
    os.rename(destination, work.replaced)
    try:
        os.rename(work.result, destination)
    except OSError:
        os.rename(work.replaced, destination)
        raise
