"""Keeps the search for circular garbage rare.

A plan is many objects that are used to the end, none of them circular: the search visits each again and again, and
finds nothing.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Suspends the search. When it resumes, it visits what was made meanwhile and still exists."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def collect_rarely() -> None:
    """Lets a process of migrate search seldom for the rest of its life, and not at its end.

    Python searches several times as it ends: with JAX loaded, that takes a tenth of a second each.
    """
    gc.set_threshold(200_000, 50, 50)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
