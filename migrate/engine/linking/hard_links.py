"""The cheapest second name for a file's bytes: a hard link, else a copy-on-write clone, else a copy by the kernel."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import Literal

How = Literal["link", "clone", "copy"]

_FICLONE = 0x40049409
"""Linux's request to share all blocks of another file (`linux/fs.h`)."""

_NOT_HERE = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS)
"""What file systems answer when they cannot do it: another device, no such feature, too many links."""


def link_file(source: Path, target: Path) -> How:
    """Makes the bytes of `source` appear at `target`, which must not exist; later changes of names do not matter to it.

    They appear there whole or not at all, so that whoever goes on after a kill may take what is there for what it is.

    Returns:
      How it was done.

    Raises:
      FileExistsError: there is something at `target`.
      OSError: the bytes cannot be read or written.
    """
    source = source.resolve()  # a link to a link would break when the first one goes
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        return _clone_or_copy(source, target)
    return "link"


def _clone_or_copy(source: Path, target: Path) -> How:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    draft = target.with_name(f"{target.name}.copying")
    with source.open("rb") as reading, draft.open("wb") as writing:
        how = _fill(reading.fileno(), writing.fileno())
        if how == "copy":
            shutil.copyfile(source, draft)  # the kernel copies, where it can
        os.fsync(writing.fileno())
    draft.rename(target)
    return how


def _fill(source: int, target: int) -> How:
    """Clones one open file into another, or says that it has to be copied."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        return "copy"
    return "clone"
