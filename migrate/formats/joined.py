"""Several sources as one checkpoint: the main one under its own key paths, each other one below its name.

The leaf `model/w` of the source `lora` has the key path `lora:/model/w`. Everything above sees one tree and one
reader, so that claims, tasks, digests and files cover all sources alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from migrate.codes import AmbiguousSource
from migrate.errors import CheckpointError, Diagnostic
from migrate.formats.base import Opening
from migrate.formats.detect import open_reader
from migrate.formats.reader import AbstractCheckpoint, Reader
from migrate.source_names import source_start
from migrate.tree import KeyPath, format_path

if TYPE_CHECKING:
    from migrate.formats.base import Extent, Location, Value


class JoinedReader(Reader):
    """Reads a main source and named ones.

    Args:
      main: the main source.
      named: the others, by name.

    Raises:
      CheckpointError: the main source has a key path that begins like those of a named one (`AmbiguousSource`).
    """

    format = "several sources"

    def __init__(self, main: Reader, named: Mapping[str, Reader]) -> None:
        self._readers: dict[KeyPath, Reader] = {
            (): main,
            **{source_start(name): reader for name, reader in named.items()},
        }
        sources = {name: reader.abstract() for name, reader in named.items()}
        notes = [main.abstract().notes, *(_named(name, one.notes) for name, one in sources.items())]
        problems = [main.abstract().problems, *(_named(name, one.problems) for name, one in sources.items())]
        self._abstract = replace(
            main.abstract(),
            sources=sources,
            notes=tuple(note for part in notes for note in part),
            problems=tuple(problem for part in problems for problem in part),
            locates_chunks=all(reader.abstract().locates_chunks for reader in self._readers.values()),
        )
        _refuse_ambiguous(main.abstract(), named)
        openings = {name: reader.opening for name, reader in named.items()}
        known = {name: opening for name, opening in openings.items() if opening is not None}
        if main.opening is not None and len(known) == len(named):
            self.opening = replace(main.opening, sources=known)

    def checkpoints(self) -> Mapping[KeyPath, Reader]:
        """The readers of the main source and of the named ones, each by the start of its key paths."""
        return self._readers

    def abstract(self) -> AbstractCheckpoint:
        """Everything but the values."""
        return self._abstract

    def _split(self, path: KeyPath) -> tuple[Reader, KeyPath]:
        """Returns the reader of a leaf, and its key path there."""
        named = self._readers.get(path[:1])
        return (named, path[1:]) if named is not None and path else (self._readers[()], path)

    def read(self, path: KeyPath) -> Value:
        """Returns one leaf's value."""
        reader, own = self._split(path)
        return reader.read(own)

    def read_ahead(self, paths: Iterable[KeyPath]) -> None:
        """Reads small arrays together that this thread is about to read."""
        wanted: dict[int, tuple[Reader, list[KeyPath]]] = {}
        for reader, own in map(self._split, paths):
            wanted.setdefault(id(reader), (reader, []))[1].append(own)
        for reader, leaves in wanted.values():
            reader.read_ahead(leaves)

    def location(self, path: KeyPath) -> Location | None:
        """Where the chunks of an array are stored."""
        reader, own = self._split(path)
        return reader.location(own)

    def extents(self, path: KeyPath) -> tuple[Extent, ...] | None:
        """Where the bytes of an array are stored."""
        reader, own = self._split(path)
        return reader.extents(own)

    def problems(self) -> tuple[Diagnostic, ...]:
        """Errors about files that lack bytes."""
        return tuple(problem for reader in self._readers.values() for problem in reader.problems())

    def files(self) -> Iterable[Path]:
        """The files of all sources."""
        return (file for reader in self._readers.values() for file in reader.files())

    def close(self) -> None:
        """Releases the files of all sources."""
        for reader in self._readers.values():
            reader.close()


def reopened(opening: Opening) -> Reader:
    """Opens a checkpoint in another process, with its named sources.

    Raises:
      CheckpointError: one cannot be read.
    """
    main, named = _opened(opening), dict[str, Reader]()
    try:
        for name, other in opening.sources.items():
            named[name] = _opened(other)
        return JoinedReader(main, named) if named else main
    except BaseException:
        for reader in (main, *named.values()):
            reader.close()
        raise


def _opened(one: Opening) -> Reader:
    place = one.path, one.step, one.item, one.unbox
    return open_reader(*place, follow_links=one.follow_links, separator=one.separator)


def _named(name: str, findings: Iterable[Diagnostic]) -> Iterable[Diagnostic]:
    """Yields findings about a named source under its name."""
    for found in findings:
        yield replace(found, message=f"source `{name}`: {found.message}")


def _refuse_ambiguous(main: AbstractCheckpoint, named: Iterable[str]) -> None:
    starts = tuple(f"{name}:" for name in named)
    found = next((path for path in main.tree.leaves if path and path[0].startswith(starts)), None)
    if found is not None:
        name = next(name for name in named if found[0].startswith(f"{name}:"))
        message = f"the key path `{format_path(found)}` of {main.path} begins like those of the source `{name}`"
        raise CheckpointError(AmbiguousSource.at(message, help=f"give the source `{name}` another name"))
