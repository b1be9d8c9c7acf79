"""A path in a bucket, with the methods of `pathlib.Path` that read.

It takes the place of a local path everywhere above: names are joined and split by `pathlib`, and what would ask the
file system asks the bucket. Methods that write, and those of links, are refused, so that none of them could act on a
local file of the same name.
"""

from __future__ import annotations

import errno
import io
import os
import stat as modes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PosixPath
from typing import Any, NoReturn, Self

from migrate.places import listings
from migrate.places.objects import DRIVERS, LARGEST, BucketName, Objects, store_spec

_BUFFER_BYTES = 64 << 10
"""The bytes that a buffered file reads at least."""
_RANGE_BYTES = 8 << 20
"""The most bytes of one request of a buffered range."""


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """The part of `os.stat_result` that an object or a directory of a bucket has."""

    path: BucketPath
    st_mode: int

    @property
    def st_size(self) -> int:
        """The size in bytes, which takes several requests."""
        if modes.S_ISDIR(self.st_mode):
            return 0
        found = listings.size(*self.path.location)
        if found is None:
            raise _absent(self.path)
        return found


class BucketPath(PosixPath):
    """A path in a bucket: `gs://bucket/a/b` or `s3://bucket/a/b`."""

    __slots__ = ()

    @property
    def bucket(self) -> BucketName:
        """The bucket."""
        scheme, name, *_ = (*self.parts, "", "")
        return BucketName(scheme.removesuffix(":"), name)

    @property
    def key(self) -> str:
        """The key of the object, or of the directory without a slash at the end; empty for the bucket itself."""
        return "/".join(self.parts[2:])

    @property
    def location(self) -> tuple[BucketName, str]:
        """The bucket and the key."""
        return self.bucket, self.key

    def store_spec(self, prefix: str = "") -> dict[str, Any]:
        """Returns the specification of the objects below this directory as a key-value store of TensorStore."""
        folder = f"{self.key}/" if self.key else ""
        return store_spec(self.bucket, f"{folder}{prefix}")

    def refresh(self) -> None:
        """Forgets what was listed and read at and below this path."""
        listings.refresh(*self.location)

    def version(self) -> str | None:
        """Returns a text that changes whenever the object is written; None if there is none."""
        return listings.version(*self.location)

    def files_below(self) -> list[BucketPath]:
        """Returns the objects below this directory."""
        scheme, name = self.parts[:2]
        return [type(self)(scheme, name, key) for key in listings.files_below(*self.location)]

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}" if self.key else str(self.bucket)

    def __fspath__(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> Any:
        return type(self), (str(self),)

    def is_absolute(self) -> bool:
        """Returns True: a URL does not depend on the current directory."""
        return True

    @property
    def parent(self) -> Self:
        """The directory above; that of a bucket is the bucket itself."""
        return super().parent if len(self.parts) > 2 else self

    @property
    def parents(self) -> Any:
        """The directories above, the nearest first, up to the bucket."""
        return [type(self)(*self.parts[:count]) for count in range(len(self.parts) - 1, 1, -1)]

    def relative_to(self, *other: Any, **options: Any) -> Path:  # type: ignore[override]
        """Returns the path below a directory of the same bucket, as a relative local path.

        Raises:
          ValueError: this path is not below it.
        """
        del options
        above = type(self)(*other).parts
        if self.parts[: len(above)] != above:
            raise ValueError(f"{str(self)!r} is not below {str(type(self)(*other))!r}")
        return Path(*self.parts[len(above) :])

    def is_relative_to(self, *other: Any) -> bool:
        """Whether this path is a directory or below it."""
        above = Path(*other).parts
        return self.parts[: len(above)] == above

    def absolute(self) -> BucketPath:
        """Returns this path."""
        return self

    def resolve(self, strict: bool = False) -> BucketPath:
        """Returns this path: a bucket has no links."""
        del strict
        return self

    def expanduser(self) -> BucketPath:
        """Returns this path."""
        return self

    def stat(self, *, follow_symlinks: bool = True) -> ObjectStat:  # type: ignore[override]
        """Returns the kind and the size of an object or a directory.

        Raises:
          FileNotFoundError: there is neither.
        """
        del follow_symlinks
        if listings.is_object(*self.location):
            return ObjectStat(self, modes.S_IFREG | 0o444)
        if listings.is_folder(*self.location):
            return ObjectStat(self, modes.S_IFDIR | 0o555)
        raise _absent(self)

    def lstat(self) -> ObjectStat:  # type: ignore[override]
        """Returns `stat`."""
        return self.stat()

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Whether there is an object or a directory."""
        del follow_symlinks
        return self.is_file() or self.is_dir()

    def is_file(self, **options: Any) -> bool:
        """Whether there is an object of this key."""
        del options
        return listings.is_object(*self.location)

    def is_dir(self, **options: Any) -> bool:
        """Whether there are objects below this key."""
        del options
        return listings.is_folder(*self.location)

    def is_symlink(self) -> bool:
        """Returns False."""
        return False

    def iterdir(self) -> Iterator[BucketPath]:  # type: ignore[override]
        """Yields the entries of a directory.

        Raises:
          FileNotFoundError: there is none.
        """
        if not self.is_dir():
            raise _absent(self)
        yield from (self / name for name in listings.entries(*self.location))

    def glob(self, pattern: str, **options: Any) -> Iterator[BucketPath]:  # type: ignore[override]
        """Yields the paths that match a pattern of segments, without `**`."""
        del options
        segments = pattern.split("/")
        for path in [self / name for name in listings.entries(*self.location)]:
            if fnmatchcase(path.name, segments[0]):
                yield from path.glob("/".join(segments[1:])) if segments[1:] else (path,)

    def rglob(self, pattern: str, **options: Any) -> Iterator[BucketPath]:  # type: ignore[override]
        """Yields the objects below this directory whose names match a pattern."""
        del options
        yield from (path for path in self.files_below() if fnmatchcase(path.name, pattern))

    def read_bytes(self) -> bytes:
        """Returns the content of the object.

        Raises:
          FileNotFoundError: there is none.
        """
        found = listings.content(*self.location)
        if found is None:
            raise _absent(self)
        return found

    def read_range(self, start: int, stop: int) -> bytes:
        """Returns the bytes of a range, fewer where the object ends before `stop`.

        Raises:
          FileNotFoundError: there is no object.
        """
        found = listings.content(*self.location, start, stop)
        if found is None:
            raise _absent(self)
        return found

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
        """Returns the content as text, UTF-8 by default; `newline` is not used.

        Raises:
          FileNotFoundError: there is no object.
        """
        del newline
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def blocks(self) -> Iterator[bytes]:
        """Yields the content of the object in order.

        Raises:
          CheckpointError: it cannot be read (`UnreachableBucket`), or is written meanwhile (`SourceChanged`).
        """
        return Objects(self.bucket).blocks(self.key)

    def head(self, count: int) -> bytes:
        """Returns the first bytes of the object; what is read beyond them answers later questions.

        Raises:
          FileNotFoundError: there is no object.
        """
        return self.read_range(0, max(count, _BUFFER_BYTES))[:count]

    def reaches(self, end: int) -> bool:
        """Whether there is an object of at least `end` bytes."""
        return Objects(self.bucket).reach([(self.key, end)])[0]

    def open(self, mode: str = "r", buffering: int = -1, *_: Any, **__: Any) -> Any:
        """Opens the object for reading bytes.

        Raises:
          FileNotFoundError: there is none.
          UnsupportedOperation: the mode is not `rb`.
        """
        if mode != "rb":
            self._refuse(f"open({mode!r})")
        if not self.is_file():
            raise _absent(self)
        file = _ObjectFile(self)
        return io.BufferedReader(file, max(buffering, _BUFFER_BYTES)) if buffering else file

    def open_range(self, start: int, stop: int) -> io.BufferedReader:
        """Opens a range of the object for reading bytes; nothing beyond the range is requested."""
        file = _ObjectFile(self, stop)
        file.seek(start)
        return io.BufferedReader(file, max(min(stop - start, _RANGE_BYTES), 1))

    def _refuse(self, method: str) -> NoReturn:
        raise io.UnsupportedOperation(f"{method} of {self}: objects of a bucket are only read by this class")


def _refused(name: str) -> Any:
    def method(self: BucketPath, *_: Any, **__: Any) -> NoReturn:
        self._refuse(name)

    return method


for _name in (
    "chmod", "lchmod", "mkdir", "rename", "replace", "rmdir", "symlink_to", "hardlink_to", "touch", "unlink",
    "write_bytes", "write_text", "owner", "group", "readlink", "samefile", "walk",
):  # fmt: skip
    setattr(BucketPath, _name, _refused(_name))


class _ObjectFile(io.RawIOBase):
    """An object as a file: each read is a request for a range."""

    def __init__(self, path: BucketPath, stop: int = LARGEST) -> None:
        self._path, self._at, self._stop = path, 0, stop

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def tell(self) -> int:
        """Returns the position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves the position; the end is searched for only where it is needed."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        self._at = max((self._path.stat().st_size if start is None else start) + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Reads the bytes at the position."""
        view = memoryview(buffer).cast("B")
        found = self._path.read_range(self._at, min(self._at + len(view), self._stop))
        view[: len(found)] = found
        self._at += len(found)
        return len(found)


def versions(paths: Sequence[BucketPath]) -> dict[BucketPath, str | None]:
    """Returns a text for each object that changes whenever it is written, as it is now; None where there is none."""
    found: dict[BucketPath, str | None] = {}
    for bucket in dict.fromkeys(path.bucket for path in paths):
        mine = [path for path in paths if path.bucket == bucket]
        found.update(zip(mine, Objects(bucket).generations([path.key for path in mine]), strict=True))
    return found


def is_bucket_url(text: str) -> bool:
    """Whether a text is the URL of a path in a bucket."""
    return text.startswith(tuple(f"{scheme}://" for scheme in DRIVERS))


def _absent(path: BucketPath) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
