"""What a checkpoint may hold: files and directories of its own, no links to elsewhere, no pipes or devices.

TensorStore opens files by itself and follows every link, so the entries of a checkpoint are checked once, when it is
opened and before anything below it is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from migrate.codes import ForeignEntry
from migrate.errors import CheckpointError
from migrate.places.bucket_path import BucketPath

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class Boundary:
    """The directory in which a checkpoint has to stay.

    Attributes:
      source: the path that the caller named; it may itself be a link.
      follow: whether links may lead anywhere.
    """

    source: Path
    follow: bool = False
    _checked: set[tuple[str, bool]] = field(default_factory=set, repr=False)

    @property
    def root(self) -> str:
        """The directory that links must not leave, without links: the source, or the directory of a single file."""
        real = os.path.realpath(self.source)
        return real if os.path.isdir(real) else os.path.realpath(os.path.dirname(os.path.abspath(self.source)))

    def check(self, path: Path, *, deep: bool = True) -> None:
        """Checks a file or a directory with its entries, with `deep` also those of its subdirectories.

        Raises:
          CheckpointError: a link leads out, an entry is neither a file nor a directory, or a name is not UTF-8
            (`ForeignEntry`).
        """
        refuse_undecodable(path)
        if isinstance(path, BucketPath):
            return  # which has neither links nor pipes
        if path != self.source and os.path.lexists(path):
            self._check_entry(str(path), link=path.is_symlink())
        pending = [str(path)] if path.is_dir() else []
        while pending:
            folder = pending.pop()
            for entry in self._entries(folder, deep=deep):
                self._check_entry(entry.path, link=entry.is_symlink(), known=entry.is_file(follow_symlinks=False))
                if deep and is_folder(entry):
                    pending.append(entry.path)

    def _entries(self, folder: str, *, deep: bool) -> Iterator[os.DirEntry[str]]:
        """Yields the entries of a directory once, through whatever links it is reached."""
        visit = (os.path.realpath(folder), deep)
        if visit in self._checked:
            return
        self._checked.add(visit)
        try:
            with os.scandir(folder) as entries:
                yield from entries
        except OSError:
            return  # the reader that needs the directory names the cause

    def _check_entry(self, path: str, *, link: bool, known: bool = False) -> None:
        refuse_undecodable(path)
        if known:
            return
        if link and not self.follow and not _is_inside(os.path.realpath(path), self.root):
            advice = "if its storage is built of links that you trust, add `--follow-links`; or copy it with `cp -rL`"
            message = f"`{path}` is a link to `{os.path.realpath(path)}`, outside the checkpoint"
            raise CheckpointError(ForeignEntry.at(message, help=advice))
        kind = special_kind(path)
        if kind is not None:
            message = f"`{path}` is {kind}, neither a file nor a directory"
            raise CheckpointError(ForeignEntry.at(message, help="remove it, or copy the checkpoint without it"))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a directory or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a circle of links
        return False


def special_kind(path: str | os.PathLike[str]) -> str | None:
    """Returns `a pipe`, `a socket` or `a device` for what could block a reader; None for all else."""
    try:
        return _KINDS.get(stat.S_IFMT(os.stat(path).st_mode))
    except (OSError, ValueError):
        return None


def is_without_size(file: str | os.PathLike[str] | int) -> bool:
    """Whether a path or descriptor is a regular file of 0 bytes: it is empty, or a file of the kernel.

    Files of the kernel, such as `/proc/kmsg`, have no size, and a reader of them can block for ever.

    Raises:
      OSError: it does not exist, or cannot be reached.
    """
    found = os.stat(file)
    return stat.S_ISREG(found.st_mode) and not found.st_size


def refuse_undecodable(path: str | os.PathLike[str]) -> None:
    """Refuses a path whose bytes are not UTF-8, which TensorStore and JSON cannot name.

    Raises:
      CheckpointError: it is one (`ForeignEntry`).
    """
    text = os.fspath(path)
    if not is_utf_8(text):
        raise CheckpointError(ForeignEntry.at(f"the bytes of the path `{text}` are not UTF-8", help="rename it"))


def refuse_backslash(folder: Path) -> None:
    """Refuses a directory of arrays whose path has a backslash: TensorStore would open another one.

    Raises:
      CheckpointError: it has one (`ForeignEntry`).
    """
    if "\\" in os.path.realpath(folder):
        message = f"the path of `{folder}` contains `\\`, which TensorStore reads as `/`"
        raise CheckpointError(ForeignEntry.at(message, help="rename the directory"))


def is_utf_8(path: str) -> bool:
    """Whether the bytes of a path are UTF-8; Python stands in for others with lone surrogates."""
    if path.isascii():
        return True
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
