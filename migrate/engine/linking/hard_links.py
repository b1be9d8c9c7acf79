"""The cheapest second name for a file's bytes: a hard link, else a copy-on-write clone, else a copy by the kernel."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import Literal

LinkMethod = Literal["link", "clone", "copy"]

_FICLONE = 0x40049409
"""Linux's request to share all blocks of another file (`linux/fs.h`)."""

_UNSUPPORTED = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS)
"""Errors of a file system that cannot link or clone: another device, no such feature, too many links."""


def link_file(source: Path, target: Path) -> LinkMethod:
    """Makes the bytes of `source` available at `target`, which must not exist, also once `source` is removed.

    `target` appears complete or not at all, so that a resumed run can trust a file that is already there.

    Returns:
      The method that was used.

    Raises:
      FileExistsError: `target` exists.
      OSError: the bytes cannot be read or written.
    """
    if source.is_symlink():  # a link to a symbolic link would break once that link is removed
        source = source.resolve()
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return _clone_or_copy(source, target)
    return "link"


def _clone_or_copy(source: Path, target: Path) -> LinkMethod:
    """Writes a temporary file beside `target` and renames it once it is durable."""
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    draft = target.with_name(f"{target.name}.copying")
    with source.open("rb") as reading, draft.open("wb") as writing:
        method = _clone(reading.fileno(), writing.fileno())
        if method == "copy":
            shutil.copyfile(source, draft)  # copies inside the kernel where possible
        os.fsync(writing.fileno())
    draft.rename(target)
    return method


def _clone(source: int, target: int) -> LinkMethod:
    """Clones one open file into another; returns `copy` where the file system cannot clone."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return "copy"
    return "clone"
