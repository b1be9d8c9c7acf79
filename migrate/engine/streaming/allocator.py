"""How the C library keeps and returns freed memory: memory that the system hands out again is zeroed by it first.

Both functions do nothing with C libraries other than glibc.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of `mallopt`."""

KEPT_BYTES = 64 << 20
"""The largest block of memory that is kept for the next one; larger ones are returned once they are freed."""

_KEPT_TOGETHER = 512 << 20
_ARENAS = 4
"""The most arenas: only the first one holds blocks of any size; threads of other arenas fall back on it."""


def return_freed_memory() -> None:
    """Returns freed memory to the system.

    glibc keeps freed memory in the arenas of the threads that allocated it, so that a process with many threads and
    large arrays grows far beyond the memory in use.
    """
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def keep_freed_memory() -> None:
    """Keeps freed blocks of the size of chunks for the next chunks, until `return_freed_memory` is called.

    Otherwise each chunk of some megabytes is mapped, zeroed and unmapped again, which costs as much as copying it
    several times. This is a setting of the whole process: only for commands, before threads are started.
    """
    tune = _function("mallopt")
    if tune is not None:
        tune(_MMAP_THRESHOLD, KEPT_BYTES)
        tune(_TRIM_THRESHOLD, _KEPT_TOGETHER)
        tune(_ARENA_MAX, _ARENAS)


@cache
def _function(name: str) -> Any:
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):
        return None
