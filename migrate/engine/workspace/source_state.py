"""The source during a run: it must not change, because arrays are linked and read at different times.

Linked files share their bytes with the source, so a file that is overwritten in place would change the result as well.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from migrate.codes import SourceChanged, UnreachableBucket
from migrate.errors import CheckpointError, RefusedError, StoppedError, listed
from migrate.formats.reader import Reader
from migrate.places.bucket_path import BucketPath, versions
from migrate.places.names import refresh
from migrate.tree import KeyPath, format_path

_METADATA = (
    ".zarray", "zarr.json", "manifest.ocdbt", "_METADATA", "_sharding", "_CHECKPOINT_METADATA", "_ROOT_METADATA",
)  # fmt: skip
"""Small files that describe arrays: their content is compared too. Other such files end in `.json`."""

_METADATA_BYTES = 64 << 20
"""A larger file is identified by its size and time alone."""

_SHOWN = 5


@dataclass(frozen=True)
class SourceState:
    """The files of a source as they were at one time.

    Attributes:
      reader: reads the source.
      files: an identity of each file, by its path relative to the source (of a named source, below its name): size,
        modification time and, for metadata, a digest of the content; of an object in a bucket, its generation or ETag.
    """

    reader: Reader
    files: Mapping[str, str]

    @classmethod
    def now(cls, reader: Reader) -> SourceState:
        """Returns the present state; reads metadata files and no others.

        Raises:
          CheckpointError: the source's directory cannot be listed.
        """
        found = {
            f"{format_path(prefix)}/{name}" if prefix else name: identity
            for prefix, one in reader.checkpoints().items()
            for name, identity in _identities(one)
        }
        return cls(reader, found)

    @property
    def digest(self) -> str:
        """`sha256:` over the names and identities of all files."""
        return _digest(self.files)

    def digest_of(self, start: KeyPath) -> str:
        """Returns the same over the files of one source, by the start of its key paths."""
        others = tuple(f"{format_path(one)}/" for one in self.reader.checkpoints() if one)
        own = (f"{format_path(start)}/",) if start else ()
        return _digest(
            {
                name: identity
                for name, identity in self.files.items()
                if (name.startswith(own) if own else not name.startswith(others))
            }
        )

    def changes(self) -> list[str]:
        """Returns the files that differ from this state now, that are gone, or that were added.

        Raises:
          CheckpointError: the bucket of the source does not tell (`UnreachableBucket`).
        """
        try:
            now = self.now(self.reader).files
        except CheckpointError as error:
            if any(found.code == UnreachableBucket.number for found in error.diagnostics):
                raise
            return ["."]
        return sorted(name for name in {*self.files, *now} if self.files.get(name) != now.get(name))

    def refuse_changes(self) -> None:
        """Refuses a source that differs from this state.

        Raises:
          RefusedError: it does (`SourceChanged`).
          CheckpointError: the bucket of the source does not tell (`UnreachableBucket`).
        """
        changed = self.changes()
        if changed:
            several = len(self.reader.checkpoints()) > 1
            subject = "a source" if several else self.reader.abstract().path
            raise RefusedError(
                SourceChanged.at(
                    f"{subject} changed during this run: {listed(changed, _SHOWN)}; nothing was published",
                    help="wait until nothing writes to the source any more, and run the same command again",
                )
            )

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Replaces an error of which a change of the source may be the cause by the refusal of the change.

        Raises:
          RefusedError: the source changed (`SourceChanged`).
        """
        try:
            yield
        except StoppedError:
            raise
        except Exception:
            with suppress(CheckpointError):
                self.refuse_changes()
            raise


def _digest(files: Mapping[str, str]) -> str:
    lines = "\n".join(sorted(f"{name}\t{identity}" for name, identity in files.items()))
    return f"sha256:{hashlib.sha256(os.fsencode(lines)).hexdigest()}"


def _identities(reader: Reader) -> Iterator[tuple[str, str]]:
    """Yields the files of one source: the path relative to the source, and the identity."""
    root = reader.abstract().path
    refresh(root)
    files = list(reader.files())
    objects = versions([file for file in files if isinstance(file, BucketPath)])
    for file in files:
        yield _relative(str(file), root), _of_object(objects[file]) if file in objects else _identity(str(file))


def _relative(file: str, root: Path) -> str:
    """Returns the path of a file relative to the source; a source of many arrays may have a file for each."""
    above = f"{root}{os.sep}"
    return file.removeprefix(above) if file.startswith(above) and ".." not in file else os.path.relpath(file, root)


def _of_object(version: str | None) -> str:
    return version or f"unreadable: {os.strerror(errno.ENOENT)}"


def _identity(file: str) -> str:
    name = os.path.basename(file)
    try:
        stat = os.stat(file)
        is_metadata = name in _METADATA or name.endswith(".json")
        content = Path(file).read_bytes() if is_metadata and stat.st_size <= _METADATA_BYTES else b""
    except OSError as error:
        return f"unreadable: {error.strerror}"
    return f"{stat.st_size}\t{stat.st_mtime_ns}\t{hashlib.sha256(content).hexdigest() if content else ''}"
