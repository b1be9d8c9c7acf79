"""Where every byte of a single file goes, known before the first value is: a format is a file of its own that says so.

A layout is a sequence of parts: bytes that are what they are, and slots that one leaf fills. So arrays are written at
their places in any order, by several threads, and a run that was killed goes on in the same file.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from migrate.codes import UnrepresentableLeaf
from migrate.engine.streaming.array_bytes import raw_bytes
from migrate.errors import Diagnostic
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path

Texts = Mapping[KeyPath, str]
"""The values of all leaves that are strings: their lengths decide where what follows them lies."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Room for `nbytes` of a leaf."""

    path: KeyPath
    nbytes: int


@dataclass(frozen=True, slots=True)
class Room:
    """Where a slot, or one of an array's several slots, lies in the file."""

    offset: int
    nbytes: int


@dataclass(frozen=True)
class Layout:
    """A file without its values.

    Attributes:
      fixed: bytes that are known, by their offset.
      rooms: where each leaf goes, part after part.
      size: bytes of the whole file.
    """

    fixed: Mapping[int, bytes]
    rooms: Mapping[KeyPath, tuple[Room, ...]]
    size: int

    @classmethod
    def of(cls, parts: Iterable[bytes | Slot]) -> Layout:
        """The layout of parts that follow one another."""
        fixed: dict[int, bytes] = {}
        rooms: dict[KeyPath, tuple[Room, ...]] = {}
        position = 0
        for part in parts:
            if isinstance(part, Slot):
                rooms[part.path] = (*rooms.get(part.path, ()), Room(position, part.nbytes))
                position += part.nbytes
            else:
                fixed[position] = part
                position += len(part)
        return cls(fixed, rooms, position)


class FileFormat(abc.ABC):
    """A kind of file that a tree is written to."""

    name: ClassVar[str]
    suffix: ClassVar[str]

    @abc.abstractmethod
    def problems(self, tree: AbstractTree) -> Iterator[Diagnostic]:
        """What the format cannot hold (errors) and what only migrate will read from it or is lost (notes)."""

    @abc.abstractmethod
    def held(self, tree: AbstractTree, *, boxes: bool) -> AbstractTree:
        """The tree as it is read from such a file again; boxes that it still has are written.

        Args:
          tree: what is to be written.
          boxes: whether the levels that Flax's boxes add belong there.
        """

    @abc.abstractmethod
    def layout(self, tree: AbstractTree, metadata: Mapping[str, Any], texts: Texts) -> Layout:
        """Where everything goes.

        Args:
          tree: what `held` made of a tree without errors.
          metadata: custom metadata: plain values that JSON can hold.
          texts: the strings of the tree.
        """

    def encoded(self, leaf: AbstractLeaf, array: np.ndarray[Any, Any]) -> memoryview:  # noqa: ARG002 - some need it
        """An array or number as it fills its slots: its little-endian bytes, unless the format has other numbers."""
        return raw_bytes(array)


def unsharded(tree: AbstractTree, *, boxes: bool) -> AbstractTree:
    """The tree without shardings, which no file has, and with or without Flax's boxes."""
    leaves = {
        path: replace(leaf, sharding=None, storage=None, box=leaf.box if boxes else None)
        for path, leaf in tree.leaves.items()
    }
    return AbstractTree(leaves, tree.containers)


def cannot_hold(file: str, path: KeyPath, what: str, cure: str) -> Diagnostic:
    """The diagnostic for a leaf that has no place in a file."""
    return UnrepresentableLeaf.at(
        f"a {file} file cannot hold `{format_path(path)}`: {what}", paths=[format_path(path)], help=cure
    )


def kept_elsewhere(message: str, paths: Iterable[KeyPath]) -> Diagnostic:
    """The note on what a file holds in another form."""
    return UnrepresentableLeaf.at(message, paths=map(format_path, paths), severity="note")
