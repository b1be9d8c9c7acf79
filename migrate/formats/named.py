"""A checkpoint whose arrays have no names, read with those of a model: its leaves in order, checked by their shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from migrate.codes import ReaderAssumption
from migrate.formats.npy_stream import FORMAT
from migrate.formats.reader import AbstractCheckpoint, Reader
from migrate.tree import AbstractTree, Container, KeyPath, format_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from migrate.errors import Diagnostic
    from migrate.formats.base import Extent, Location, Value

Ordered = tuple[KeyPath, tuple[int, ...]]
"""The key path and the shape of one leaf of a model."""


def is_nameless(checkpoint: AbstractCheckpoint) -> bool:
    """Whether the arrays of a checkpoint have positions instead of names."""
    return checkpoint.format == FORMAT


def mismatch(checkpoint: AbstractCheckpoint, leaves: Sequence[Ordered]) -> str | None:
    """Returns why the arrays of a checkpoint are not the leaves of a model, in order; None if all shapes agree."""
    arrays = [leaf.aval.shape for leaf in checkpoint.tree.leaves.values() if leaf.aval is not None]
    for number, (ours, (path, theirs)) in enumerate(zip(arrays, leaves, strict=False)):
        if ours != theirs:
            return f"array {number} has the shape {list(ours)}, and the leaf `{format_path(path)}` {list(theirs)}"
    if len(arrays) != len(leaves):
        return f"the file has {len(arrays)} arrays, and the model {len(leaves)} leaves"
    return None


def named(reader: Reader, spec: str, leaves: Sequence[Ordered], containers: Mapping[KeyPath, Container]) -> Reader:
    """Returns a reader of a nameless checkpoint under the key paths of a model, with whose shapes it agrees."""
    found = reader.abstract()
    old = found.tree.leaves
    stored = {path: position for (path, _), position in zip(leaves, old, strict=True)}
    tree = AbstractTree.build(((path, old[position]) for path, position in stored.items()), dict(containers))
    message = f"key paths are those of `{spec}`: its leaves in order, with equal shapes; dtypes may differ"
    notes = (*found.notes[1:], ReaderAssumption.at(message))
    return NamedReader(reader, replace(found, items={"": tree}, notes=notes), stored)


def unnamed(reader: Reader, spec: str, why: str) -> Reader:
    """Returns a reader of a nameless checkpoint with a warning that a model does not name its arrays."""
    message = f"the arrays keep their positions as key paths, since `{spec}` does not name them: {why}"
    cure = "pass the Equinox model that was saved, or refer to the arrays by position: `0`, `1`, …"
    found = reader.abstract()
    notes = (*found.notes, ReaderAssumption.at(message, help=cure, severity="warning"))
    return NamedReader(reader, replace(found, notes=notes), {path: path for path in found.tree.leaves})


class NamedReader(Reader):
    """Reads a checkpoint under other key paths; `stored` has the path below `reader` for each."""

    format = "named arrays"

    def __init__(self, reader: Reader, abstract: AbstractCheckpoint, stored: Mapping[KeyPath, KeyPath]) -> None:
        self._reader, self._abstract, self._stored = reader, abstract, stored

    def abstract(self) -> AbstractCheckpoint:
        """Everything but the values."""
        return self._abstract

    def read(self, path: KeyPath) -> Value:
        """Returns one leaf's value."""
        return self._reader.read(self._stored[path])

    def read_ahead(self, paths: Iterable[KeyPath]) -> None:
        """Reads small arrays together that this thread is about to read."""
        self._reader.read_ahead(self._stored[path] for path in paths)

    def location(self, path: KeyPath) -> Location | None:
        """Where the chunks of an array are stored."""
        return self._reader.location(self._stored[path])

    def extents(self, path: KeyPath) -> tuple[Extent, ...] | None:
        """Where the bytes of an array are stored."""
        return self._reader.extents(self._stored[path])

    def problems(self) -> tuple[Diagnostic, ...]:
        """Errors about files that lack bytes."""
        return self._reader.problems()

    def files(self) -> Iterable[Path]:
        """The files of the checkpoint."""
        return self._reader.files()

    def close(self) -> None:
        """Releases files."""
        self._reader.close()
