"""The index of an OCDBT database: the B-tree of its newest version."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from migrate.formats.files import children
from migrate.formats.zarr.inline_values import InlineValues
from migrate.formats.zarr.ocdbt_format import (
    Manifest,
    Node,
    NodePlace,
    Reference,
    ValueRange,
    decode_manifest,
    decode_node,
)
from migrate.places.names import open_range

_MANIFEST = "manifest.ocdbt"
_NUMBERED = re.compile(r"manifest\.[0-9a-f]{16}")

_T = TypeVar("_T")


class UnreadableNodeError(ValueError):
    """The manifest or a node of the B-tree cannot be read; `place` is where it is stored."""

    def __init__(self, place: ValueRange, reason: str) -> None:
        super().__init__(f"{place.file}: {reason}")
        self.place = place
        self.reason = reason


@dataclass(frozen=True, slots=True)
class IndexNode:
    """One node of the B-tree.

    Attributes:
      place: where it is stored.
      keys: the full keys of its values, in order; none where the node has children.
      values: the values of the keys.
    """

    place: ValueRange
    keys: Sequence[bytes]
    values: Sequence[Reference]


class _Expected(NamedTuple):
    """A node as its parent describes it: its keys have `prefix`, are at least `first` and less than `end`."""

    place: NodePlace
    prefix: bytes
    height: int
    first: bytes = b""
    end: bytes | None = None

    def check(self, node: Node, keys: Sequence[bytes]) -> None:
        """Checks that a node with some full keys is the described one.

        Raises:
          UnreadableNodeError: its height or its keys differ.
        """
        if node.height != self.height:
            raise UnreadableNodeError(self.place.range, f"it has height {node.height}, not {self.height}")
        if keys[0] < self.first or (self.end is not None and keys[-1] >= self.end):
            raise UnreadableNodeError(self.place.range, "it has keys that belong to another node")


class Index:
    """The B-tree of the newest version of a database.

    Raises:
      UnreadableNodeError: there is no manifest, or it is damaged.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._inline = InlineValues()
        self._manifest = self._read_manifest(_MANIFEST)
        if self._manifest.is_numbered:
            config = self._manifest.config
            numbered = [entry.name for entry in children(directory) if _NUMBERED.fullmatch(entry.name)]
            name = max(numbered, default=_MANIFEST)
            self._manifest = self._read_manifest(name)
            if self._manifest.is_numbered or self._manifest.config != config:
                raise UnreadableNodeError(self._whole(name), f"it does not belong to `{_MANIFEST}`")

    def version_lists(self) -> list[ValueRange]:
        """The places of the lists of earlier versions."""
        return [place.range for place in self._manifest.version_lists]

    def nodes(self) -> Iterator[IndexNode]:
        """All nodes, level by level.

        Raises:
          UnreadableNodeError: one is damaged.
        """
        root = self._manifest.root
        pending = [_Expected(root, b"", self._manifest.root_height)] if root else []
        while pending:
            below: list[_Expected] = []
            for expected in pending:
                node = self._read_node(expected.place)
                keys = [expected.prefix + key for key in node.keys] if expected.prefix else node.keys
                expected.check(node, keys)
                yield IndexNode(expected.place.range, () if node.height else keys, node.values)
                below += _children(node, keys, expected)
            pending = below

    def _read_manifest(self, name: str) -> Manifest:
        return _decoded(self._whole(name), lambda: decode_manifest((self._directory / name).read_bytes()))

    def _whole(self, name: str) -> ValueRange:
        return ValueRange(name, 0, 0)

    def _read_node(self, place: NodePlace) -> Node:
        def decode() -> Node:
            return decode_node(_bytes_at(self._directory, place.range), place.file.base, self._inline)

        return _decoded(place.range, decode)


def _decoded(place: ValueRange, decode: Callable[[], _T]) -> _T:
    """Returns the result of decoding a manifest or a node; an error names its place."""
    try:
        return decode()
    except OSError as error:
        raise UnreadableNodeError(place, error.strerror or str(error)) from error
    except (ValueError, OverflowError, MemoryError) as error:
        raise UnreadableNodeError(place, str(error) or "it does not fit into memory") from error


def _bytes_at(directory: Path, place: ValueRange) -> bytes:
    path = directory / place.file
    end = place.offset + place.length
    with open_range(path, place.offset, end) as file:
        content = file.read(place.length)
    if len(content) < place.length:
        raise ValueError(f"the file ends before byte {end}")
    return content


def _children(node: Node, keys: Sequence[bytes], expected: _Expected) -> Iterator[_Expected]:
    """The children of a node with some full keys, as it describes them."""
    if not node.children:
        return
    prefix_bytes = len(expected.prefix)
    for child, first, end in zip(node.children, keys, [*keys[1:], expected.end], strict=True):
        yield _Expected(child.place, first[: prefix_bytes + child.common], node.height - 1, first, end)
