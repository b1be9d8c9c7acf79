"""Saves in progress: a script that ends waits for them.

Orbax saves in threads that Python stops when the script ends, before the functions of `atexit` are called, so that a
temporary directory is all that is left, with exit code 0. `threading` calls what is registered there before it stops
the pools of `concurrent.futures`, the last function first.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from concurrent.futures import thread  # registers its own function first, so that ours is called before it
from typing import Protocol

_pools = thread


class Waiting(Protocol):
    """What can be waited for."""

    def wait(self) -> None:
        """Waits; raises what failed."""


_begun: dict[int, tuple[Waiting, int]] = {}
_registered = threading.Lock()


def wait_at_exit(key: int, saver: Waiting, step: int) -> None:
    """Waits for a save when the script ends.

    Args:
      key: identifies the checkpointer; only its last save is waited for, since it waits for the one before.
      saver: waits for it.
      step: the number of the step, for the message if the save fails.
    """
    with _registered:
        if not _begun:
            _register(wait_for_all)
        _begun[key] = (saver, step)


def wait_for_all() -> None:
    """Waits for every save in progress; one that failed is reported on stderr."""
    for saver, step in list(_begun.values()):
        try:
            saver.wait()
        except Exception as error:  # noqa: BLE001 - Orbax raises what a thread of its own raised
            sys.stderr.write(f"migrate.save: step {step} was not saved: {type(error).__name__}: {error}\n")
    _begun.clear()


def _register(function: Callable[[], None]) -> None:
    register = getattr(threading, "_register_atexit", atexit.register)
    try:
        register(function)
    except RuntimeError:  # the interpreter ends already
        atexit.register(function)
