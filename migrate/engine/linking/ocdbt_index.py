"""The index of an OCDBT database, a B-tree, as TensorStore prints it.

`ts.ocdbt.dump` is made for looking at a database, and promises no form of what it returns. So it is called here alone,
and whatever is not as it is expected is a KeyError or ValueError, never a part of the index that is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import tensorstore as ts

from migrate.engine.linking.open_stores import open_folder

NODES_IN_FLIGHT = 16
"""Nodes that are read at once: each may be large, so all of them at once could be more than memory holds."""


class Range(NamedTuple):
    """A part of a file, which is named relative to the database's directory."""

    file: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the tree.

    Attributes:
      location: where it lies.
      prefix: what all keys below it begin with, and what the keys of its entries lack.
      height: how many levels are below it.
      entries: as TensorStore prints them.
    """

    location: str
    prefix: bytes
    height: int
    entries: Sequence[Mapping[str, Any]]

    @property
    def is_leaf(self) -> bool:
        """Whether its entries are keys with values; else they are nodes."""
        return self.height == 0

    @property
    def keys(self) -> list[bytes]:
        """The keys of its entries, with their prefix."""
        return [self.prefix + entry["key"] for entry in self.entries]


class _Wanted(NamedTuple):
    """A node as the one above it describes it: its keys are `first` or follow it, and come before `end`."""

    location: str
    prefix: bytes
    height: int
    first: bytes = b""
    end: bytes | None = None

    def check(self, node: Node) -> None:
        """TensorStore checks this as it walks the tree, and does not when it prints a single node.

        Raises:
          ValueError: it is another node.
        """
        keys = node.keys
        if node.height != self.height:
            raise ValueError(f"DATA_LOSS: a node at {node.location} has height {node.height}, not {self.height}")
        if keys[0] < self.first or (self.end is not None and keys[-1] >= self.end):
            raise ValueError(f"DATA_LOSS: a node at {node.location} has keys that belong to another node")


class Index:
    """The newest version of the database in a directory.

    Raises:
      ValueError: there is no database, or it is damaged.
    """

    def __init__(self, directory: Path) -> None:
        self._base = open_folder(directory, ts.Context())
        self._manifest: Any = ts.ocdbt.dump(self._base).result()

    def version_lists(self) -> list[str]:
        """Where the lists of earlier versions lie."""
        return [node["location"] for node in self._manifest["version_tree_nodes"]]

    def nodes(self) -> Iterator[Node]:
        """All nodes, level by level.

        Raises:
          ValueError: one is damaged.
          KeyError: TensorStore prints it in another form.
        """
        newest = self._manifest["versions"][-1]
        root = newest["root"].get("location")
        waiting = [_Wanted(root, b"", newest["root_height"])] if root else []
        while waiting:
            now, waiting = waiting[:NODES_IN_FLIGHT], waiting[NODES_IN_FLIGHT:]
            for wanted, node in zip(now, self._read(now), strict=True):
                wanted.check(node)
                yield node
                if not node.is_leaf:
                    waiting += _below(node, wanted.end)

    def _read(self, wanted: Sequence[_Wanted]) -> Iterator[Node]:
        requests = [(node, ts.ocdbt.dump(self._base, node=node.location)) for node in wanted]
        for node, request in requests:
            found = request.result()
            yield Node(node.location, node.prefix, found["height"], found["entries"])


def _below(node: Node, end: bytes | None) -> Iterator[_Wanted]:
    """The nodes to which the entries of a node lead; `end` is where its own keys end."""
    for entry, first, following in zip(node.entries, node.keys, [*node.keys[1:], end], strict=True):
        prefix = node.prefix + entry["subtree_common_prefix"]
        yield _Wanted(entry["location"], prefix, node.height - 1, first, following)


def parse_location(text: str) -> Range:
    """What a location as TensorStore prints it means: `value:ocdbt.process_0/:d/92e6:0:768`."""
    _, base, file, offset, length = text.split(":")
    name = unquote(base, errors="surrogateescape") + unquote(file, errors="surrogateescape")
    return Range(name, int(offset), int(length))
