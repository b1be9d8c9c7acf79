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
      is_leaf: whether its entries are keys with values; else they are nodes.
      entries: as TensorStore prints them.
    """

    location: str
    prefix: bytes
    is_leaf: bool
    entries: Sequence[Mapping[str, Any]]


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
        root = self._manifest["versions"][-1]["root"].get("location")
        waiting: list[tuple[str, bytes]] = [(root, b"")] if root else []
        while waiting:
            now, waiting = waiting[:NODES_IN_FLIGHT], waiting[NODES_IN_FLIGHT:]
            for node in self._read(now):
                yield node
                if not node.is_leaf:
                    waiting += [(e["location"], node.prefix + e["subtree_common_prefix"]) for e in node.entries]

    def _read(self, wanted: Sequence[tuple[str, bytes]]) -> Iterator[Node]:
        requests = [(location, prefix, ts.ocdbt.dump(self._base, node=location)) for location, prefix in wanted]
        for location, prefix, request in requests:
            found = request.result()
            yield Node(location, prefix, not found["height"], found["entries"])


def parse_location(text: str) -> Range:
    """What a location as TensorStore prints it means: `value:ocdbt.process_0/:d/92e6:0:768`."""
    _, base, file, offset, length = text.split(":")
    name = unquote(base, errors="surrogateescape") + unquote(file, errors="surrogateescape")
    return Range(name, int(offset), int(length))
