"""The platforms that migrate runs on, and calls that some of them lack."""

from __future__ import annotations

import os
import sys


def unsupported() -> str | None:
    """Returns why migrate does not run on this platform, in a sentence; None where it does."""
    if sys.platform in ("win32", "cygwin"):
        return "migrate does not run on Windows; use the Windows Subsystem for Linux"
    return None


def sync_data(descriptor: int) -> None:
    """Makes the content of an open file durable, its size included only where the system cannot do without."""
    getattr(os, "fdatasync", os.fsync)(descriptor)  # macOS has no fdatasync


def forget_pages(descriptor: int) -> None:
    """Lets the system forget what it has cached of an open file, where it can, so that a read is one of the disk."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
