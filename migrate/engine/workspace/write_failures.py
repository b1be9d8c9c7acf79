"""Failures of the file system as one sentence about SRC or DST, whether Python or TensorStore reports them."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrate.codes import WriteFailed
from migrate.errors import MigrateError
from migrate.formats.files import unreadable
from migrate.places.bucket_path import BucketPath
from migrate.places.names import path_of

_OF_READING = (errno.EIO, errno.ENOENT, errno.ESTALE, errno.EACCES)
"""Errors of an operation on a file of the source and one of DST that reading can cause."""


@contextmanager
def explained_failures(destination: Path, source: Path | None = None) -> Iterator[None]:
    """Turns every failure of the file system into a MigrateError.

    A failure that names a file of the source is one of reading, and any other one of writing: readers explain failures
    of reading themselves where the error names no file.

    Raises:
      CheckpointError: a file of the source cannot be read (`DamagedFile`, `MissingPart`).
      MigrateError: DST cannot be written (`WriteFailed`).
    """
    try:
        yield
    except OSError as error:
        file = _unread_file(error, source)
        if file is not None:
            raise unreadable(file, error) from error
        raise _unwritable(destination, error.strerror or str(error)) from error
    except (ValueError, NotImplementedError, IndexError, RuntimeError) as error:  # TensorStore's, by the error code
        number = re.search(r"os_error_code='(\d+)'", str(error))
        if number is None:
            raise
        code = int(number[1])
        named = [Path(path) for path in re.findall(r'"(/[^"]*)"', str(error))]
        file = next((path for path in named if _is_inside(path, source)), None)
        if file is not None:
            raise unreadable(file, OSError(code, os.strerror(code))) from error
        raise _unwritable(destination, os.strerror(code)) from error


def _unread_file(error: OSError, source: Path | None) -> Path | None:
    """Returns the file of the source that could not be read; None for a failure of writing.

    An error with two files comes from a link or a copy: a full disk is DST's, a lost file the source's.
    """
    if not isinstance(error.filename, str | bytes):
        return None
    file = path_of(os.fsdecode(error.filename))
    if not _is_inside(file, source):
        return None
    if error.filename2 is not None and (error.errno not in _OF_READING or _is_readable(file, error)):
        return None
    return file


def _is_readable(file: Path, error: OSError) -> bool:
    return error.errno in (errno.ENOENT, errno.EACCES) and os.access(file, os.R_OK)


def _is_inside(file: Path, source: Path | None) -> bool:
    """Returns whether a path is the source or below it, as it is written or with links resolved."""
    if source is None:
        return False
    if isinstance(source, BucketPath) or isinstance(file, BucketPath):
        return isinstance(source, BucketPath) and file.is_relative_to(source)
    path, root = Path(os.path.abspath(file)), Path(os.path.abspath(source))
    return path.is_relative_to(root) or path.resolve().is_relative_to(root.resolve())


def _unwritable(destination: Path, reason: str) -> MigrateError:
    advice = "free some space, or choose a directory that you may write to, and run the same command again"
    return MigrateError(WriteFailed.at(f"cannot write `{destination}`: {reason}", help=advice))
