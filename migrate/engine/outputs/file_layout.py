"""The layout of a file, or of several: the offset of every byte, known before the first value is.

A layout is a sequence of parts: fixed bytes, and regions that one leaf each fills. So several threads write arrays at
their offsets in any order, and a killed run is resumed in the same files. Offsets of several files count on from one
file to the next, as if they were one.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from migrate.codes import UnrepresentableLeaf
from migrate.engine.options import DEFAULT_SHARD
from migrate.engine.streaming.array_bytes import raw_bytes
from migrate.errors import Diagnostic
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path

ONE_FILE = "file"
"""The name of a single file while it is staged."""

Texts = Mapping[KeyPath, str]
"""The values of all string leaves: their lengths decide the offsets of what follows."""


@dataclass(frozen=True, slots=True)
class FileRegion:
    """A part of the layout that `nbytes` of a leaf fill."""

    path: KeyPath
    nbytes: int


@dataclass(frozen=True, slots=True)
class FileRange:
    """The place of a region, in bytes."""

    offset: int
    nbytes: int


@dataclass(frozen=True)
class FileLayout:
    """The layout of a file, or of several.

    Attributes:
      fixed: bytes that do not depend on values, by offset.
      ranges: the ranges that each leaf fills, in order.
      sizes: bytes of each file, by name, in order.
    """

    fixed: Mapping[int, bytes]
    ranges: Mapping[KeyPath, tuple[FileRange, ...]]
    sizes: Mapping[str, int]

    @classmethod
    def of(cls, parts: Iterable[bytes | FileRegion]) -> FileLayout:
        """Returns the layout of consecutive parts."""
        fixed: dict[int, bytes] = {}
        ranges: dict[KeyPath, tuple[FileRange, ...]] = {}
        position = 0
        for part in parts:
            if isinstance(part, FileRegion):
                ranges[part.path] = (*ranges.get(part.path, ()), FileRange(position, part.nbytes))
                position += part.nbytes
            else:
                fixed[position] = part
                position += len(part)
        return cls(fixed, ranges, {ONE_FILE: position})

    @classmethod
    def joined(cls, files: Mapping[str, Sequence[bytes | FileRegion]]) -> FileLayout:
        """Returns the layout of several files, each of consecutive parts."""
        layout = cls.of(part for parts in files.values() for part in parts)
        return replace(layout, sizes={name: sum(map(_size, parts)) for name, parts in files.items()})


def _size(part: bytes | FileRegion) -> int:
    return part.nbytes if isinstance(part, FileRegion) else len(part)


class FileFormat(abc.ABC):
    """The format of a single file, or of a folder of files: which trees it holds, and their layout."""

    name: ClassVar[str]

    @abc.abstractmethod
    def recognizes(self, file: Path) -> bool:
        """Returns whether the content of an existing file is of this format."""

    @abc.abstractmethod
    def problems(self, tree: AbstractTree) -> Iterator[Diagnostic]:
        """Finds leaves that the format cannot hold (errors) or holds in a form that only migrate reads (notes)."""

    @abc.abstractmethod
    def held(self, tree: AbstractTree, *, boxes: bool) -> AbstractTree:
        """Returns the tree as a reader finds it in such a file; the boxes in it are written.

        Args:
          tree: the tree to write.
          boxes: whether to keep the levels that Flax's boxes add.
        """

    @abc.abstractmethod
    def layout(
        self, tree: AbstractTree, metadata: Mapping[str, Any], texts: Texts, shard_bytes: int = DEFAULT_SHARD
    ) -> FileLayout:
        """Returns the layout of a file, or of all files.

        Args:
          tree: from `held`, for a tree without errors.
          metadata: custom metadata: plain JSON values.
          texts: the strings of the tree.
          shard_bytes: the most bytes of arrays in one file, where the format has several.
        """

    def stored_names(self, tree: AbstractTree) -> Mapping[KeyPath, str] | None:  # noqa: ARG002 - used by overrides
        """Returns the names of the arrays, if the format's metadata can record digests; None if they cannot."""
        return None

    def encoded(self, leaf: AbstractLeaf, array: np.ndarray[Any, Any]) -> memoryview:  # noqa: ARG002 - used by overrides
        """Returns the bytes of an array or number: little-endian, unless the format encodes numbers in another way."""
        return raw_bytes(array)


def unsharded(tree: AbstractTree, *, boxes: bool) -> AbstractTree:
    """Returns the tree without shardings, which no file has, and with or without Flax's boxes."""
    leaves = {
        path: AbstractLeaf(leaf.kind, leaf.aval, leaf.container, leaf.box if boxes else None, content=leaf.content)
        for path, leaf in tree.leaves.items()
    }
    return AbstractTree(leaves, tree.containers)


def cannot_hold(file: str, path: KeyPath, what: str, cure: str) -> Diagnostic:
    """Returns the diagnostic for a leaf that a file cannot hold."""
    return UnrepresentableLeaf.at(
        f"a {file} file cannot hold `{format_path(path)}`: {what}", paths=[format_path(path)], help=cure
    )


def kept_elsewhere(message: str, paths: Iterable[KeyPath]) -> Diagnostic:
    """Returns the note on leaves that a file holds in another form."""
    return UnrepresentableLeaf.at(message, paths=map(format_path, paths), severity="note")
