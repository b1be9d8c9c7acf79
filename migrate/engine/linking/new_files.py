"""Writes many small files as values of a store that is a folder, and makes them durable together.

TensorStore syncs each file and its directory, which costs more than writing them. Here the files of a batch are
written first, and one call syncs their file system.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def file_key(key: str) -> str:
    """Returns the path of a value below its folder, in which TensorStore has slashes in place of backslashes."""
    return key.replace("\\", "/")


class NewFiles:
    """The files that were written below a directory and are not durable yet; for one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._written: list[str] = []

    def write(self, key: str, content: bytes) -> None:
        """Writes a value as a new file.

        A file of this name is removed first, never overwritten: it may share its bytes with a published checkpoint.

        Raises:
          OSError: it cannot be written.
        """
        file = f"{self._folder}/{key}"
        descriptor = _created(file)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, file) from error
        finally:
            os.close(descriptor)
        self._written.append(file)

    def remove_below(self, prefix: str) -> None:
        """Removes the directory of an array, if there is one."""
        with suppress(FileNotFoundError):
            shutil.rmtree(f"{self._folder}/{prefix}")

    def sync(self) -> None:
        """Makes the files durable, and the directories that lead to them.

        Raises:
          OSError: a file cannot be written to the disk.
        """
        if self._written and not _sync_file_system(self._folder):
            folders = dict.fromkeys(folder for file in self._written for folder in self._folders(file))
            sync_each((*self._written, *folders))
        self._written.clear()

    def _folders(self, file: str) -> Iterable[str]:
        folder = os.path.dirname(file)
        while len(folder) > len(self._folder):
            yield folder
            folder = os.path.dirname(folder)
        yield self._folder


def _created(file: str) -> int:
    """Creates a file and the directories above it, where they are missing; returns its descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(file, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(file), exist_ok=True)
    except FileExistsError:
        os.unlink(file)
    return os.open(file, flags, 0o666)


def _sync_file_system(folder: str) -> bool:
    """Syncs the file system of a directory; returns whether the system can."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        return False
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if syncfs(descriptor) == 0:
            return True
        code = ctypes.get_errno()
    finally:
        os.close(descriptor)
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), folder)


def sync_each(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Makes files, or the entries of directories, durable one by one."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
