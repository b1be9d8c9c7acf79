"""The index of an OCDBT database, a B-tree, as TensorStore prints it.

`ts.ocdbt.dump` is meant for inspection, and the form of its result is not stable. So only this module calls it, and a
result of another form raises KeyError or ValueError; no part of the index is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from migrate.formats.zarr.store_spec import folder_spec

NODES_IN_FLIGHT = 16
"""Nodes that are read at once. Nodes may be large, so the number bounds the memory that they take."""


class ValueRange(NamedTuple):
    """A byte range of a file; `file` is relative to the database's directory."""

    file: str
    offset: int
    length: int


class UnreadableNodeError(ValueError):
    """A node of the B-tree cannot be read; `place` is where it is stored."""

    def __init__(self, place: ValueRange, reason: str) -> None:
        super().__init__(reason)
        self.place = place


@dataclass(frozen=True, slots=True)
class IndexNode:
    """One node of the B-tree.

    Attributes:
      location: where it is stored, as TensorStore prints it.
      prefix: the common prefix of all keys below it; the keys of its entries omit it.
      height: number of levels below it.
      entries: as TensorStore prints them.
    """

    location: str
    prefix: bytes
    height: int
    entries: Sequence[Mapping[str, Any]]

    @property
    def is_leaf(self) -> bool:
        """Whether its entries are keys with values rather than child nodes."""
        return self.height == 0

    @property
    def keys(self) -> list[bytes]:
        """The full keys of its entries."""
        return [self.prefix + entry["key"] for entry in self.entries]


class _Child(NamedTuple):
    """A node as its parent describes it: its keys are at least `first` and less than `end`."""

    location: str
    prefix: bytes
    height: int
    first: bytes = b""
    end: bytes | None = None

    def check(self, node: IndexNode) -> None:
        """Checks that a node is the described one: TensorStore checks this in a lookup, but not in a dump of one node.

        Raises:
          UnreadableNodeError: its height or its keys differ.
        """
        keys, place = node.keys, parse_location(node.location)
        if node.height != self.height:
            raise UnreadableNodeError(place, f"DATA_LOSS: it has height {node.height}, not {self.height}")
        if keys[0] < self.first or (self.end is not None and keys[-1] >= self.end):
            raise UnreadableNodeError(place, "DATA_LOSS: it has keys that belong to another node")


class Index:
    """The B-tree of the newest version of a database.

    Raises:
      ValueError: there is no database, or it is damaged.
    """

    def __init__(self, directory: Path) -> None:
        import tensorstore as ts

        self._dump = ts.ocdbt.dump
        self._base = ts.KvStore.open(folder_spec(directory), context=ts.Context()).result()
        self._manifest: Any = self._dump(self._base).result()

    def version_lists(self) -> list[str]:
        """The locations of the lists of earlier versions."""
        return [node["location"] for node in self._manifest["version_tree_nodes"]]

    def nodes(self) -> Iterator[IndexNode]:
        """All nodes, level by level.

        Raises:
          UnreadableNodeError: one is damaged.
          KeyError: TensorStore prints one in another form.
        """
        newest = self._manifest["versions"][-1]
        root = newest["root"].get("location")
        pending = [_Child(root, b"", newest["root_height"])] if root else []
        while pending:
            batch, pending = pending[:NODES_IN_FLIGHT], pending[NODES_IN_FLIGHT:]
            for child, node in zip(batch, self._read(batch), strict=True):
                child.check(node)
                yield node
                if not node.is_leaf:
                    pending += _children(node, child.end)

    def _read(self, children: Sequence[_Child]) -> Iterator[IndexNode]:
        requests = [(child, self._dump(self._base, node=child.location)) for child in children]
        for child, request in requests:
            try:
                dump = request.result()
            except (ValueError, OSError) as error:
                raise UnreadableNodeError(parse_location(child.location), str(error)) from error
            yield IndexNode(child.location, child.prefix, dump["height"], dump["entries"])


def _children(node: IndexNode, end: bytes | None) -> Iterator[_Child]:
    """The children of a node; `end` is the upper bound of its own keys."""
    for entry, first, following in zip(node.entries, node.keys, [*node.keys[1:], end], strict=True):
        prefix = node.prefix + entry["subtree_common_prefix"]
        yield _Child(entry["location"], prefix, node.height - 1, first, following)


def parse_location(text: str) -> ValueRange:
    """Parses a location as TensorStore prints it: `value:ocdbt.process_0/:d/92e6:0:768`."""
    place, offset, length = text.rsplit(":", 2)
    return ValueRange(_file_of(place), int(offset), int(length))


@lru_cache(maxsize=1024)  # a file holds many values
def _file_of(place: str) -> str:
    _, base, file = place.split(":")
    return unquote(base, errors="surrogateescape") + unquote(file, errors="surrogateescape")
