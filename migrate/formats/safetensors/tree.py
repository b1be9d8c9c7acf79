"""The record of a tree in a safetensors file's metadata, which makes reader and writer inverse.

The format stores tensors under flat names. Lists, Python numbers, `None`, empty containers, and names that do not split
back into their key paths are recorded as one JSON text beside the record of `migrate.metadata`. Other programs ignore
it; a file without it is read by its names alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from migrate.formats.files import damaged
from migrate.formats.flat_names import separator_of, split_names
from migrate.tree import AbstractLeaf, AbstractTree, Container, KeyPath, format_path, parse_path

TREE_KEY = "migrate.tree"
"""The key of the record in the file's metadata."""

SEPARATOR = "."
"""The separator that joins key paths."""

_CONTAINERS = ("dict", "list", "tuple")


@dataclass(frozen=True)
class TreeRecord:
    """The parts of a tree that names do not record; key paths have the form of `format_path`.

    Attributes:
      paths: key paths of names that do not split into them.
      containers: kinds of inner nodes that are not dicts.
      scalars: leaves that were Python numbers.
      nothing: leaves without data: `none`, or the kind of an empty container.
    """

    paths: Mapping[str, str] = field(default_factory=dict)
    containers: Mapping[str, str] = field(default_factory=dict)
    scalars: tuple[str, ...] = ()
    nothing: Mapping[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """Returns the record as JSON; empty text if there is nothing to record."""
        fields = {name: value for name, value in vars(self).items() if value}
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False) if fields else ""

    @classmethod
    def from_text(cls, text: str, path: Path) -> TreeRecord:
        """Returns the record of a file.

        Raises:
          CheckpointError: it is damaged.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise damaged(path, f"its record `{TREE_KEY}` is not JSON ({error})") from error
        if not isinstance(fields, dict) or not _is_record(fields):
            raise damaged(path, f"its record `{TREE_KEY}` is not valid")
        known = {name: fields[name] for name in ("paths", "containers", "nothing") if name in fields}
        return cls(**known, scalars=tuple(fields.get("scalars", ())))


def _is_record(fields: Mapping[str, Any]) -> bool:
    maps = [fields.get(name, {}) for name in ("paths", "containers", "nothing")]
    scalars = fields.get("scalars", [])
    if not isinstance(scalars, list) or not all(isinstance(table, dict) for table in maps):
        return False
    texts = [*scalars, *(value for table in maps for value in table.values())]
    kinds = {*maps[1].values(), *maps[2].values()} if all(isinstance(text, str) for text in texts) else {""}
    return kinds <= {*_CONTAINERS, "none"} and "none" not in maps[1].values()


def names_of(paths: Iterable[KeyPath]) -> dict[KeyPath, str]:
    """Returns a name for each key path: its segments joined with `.`, or its form in rules if two would be equal."""
    joined = {path: SEPARATOR.join(path) for path in paths}
    if len(set(joined.values())) == len(joined):
        return joined
    return {path: format_path(path) for path in joined}


def record_of(tree: AbstractTree, names: Mapping[KeyPath, str]) -> TreeRecord:
    """Returns the record with which these names give back the tree."""
    split = split_names(names.values(), separator_of({*names.values()}))
    empty = {path: leaf for path, leaf in tree.leaves.items() if path not in names}
    return TreeRecord(
        paths={name: format_path(path) for path, name in names.items() if split[name] != path},
        containers={format_path(path): kind for path, kind in tree.containers.items() if kind != "dict"},
        scalars=tuple(format_path(path) for path in names if tree.leaves[path].kind == "scalar"),
        nothing={format_path(path): "none" if leaf.kind == "none" else leaf.container for path, leaf in empty.items()},
    )


def recorded_paths(names: Collection[str], record: TreeRecord, separator: str) -> dict[str, KeyPath]:
    """Returns the key path of each name: the recorded one, or the one that the name splits into."""
    split = split_names(names, separator)
    return {name: parse_path(record.paths[name]) if name in record.paths else split[name] for name in split}


def build_tree(leaves: Mapping[KeyPath, AbstractLeaf], record: TreeRecord) -> AbstractTree:
    """Returns the tree of a file; records of leaves that the file no longer has are ignored."""
    found = dict(leaves)
    for text in record.scalars:
        leaf = found.get(parse_path(text))
        if leaf is not None and leaf.aval is not None and not leaf.aval.shape:
            found[parse_path(text)] = replace(leaf, kind="scalar")
    nodes = {path[:depth] for path in found for depth in range(len(path))}
    for text, kind in record.nothing.items():
        path = parse_path(text)
        if path not in found and path not in nodes and not any(path[:depth] in found for depth in range(len(path))):
            found[path] = _nothing(kind)
            nodes.update(path[:depth] for depth in range(len(path)))
    return AbstractTree.build(found.items(), _containers(found, record))


def _nothing(kind: str) -> AbstractLeaf:
    return AbstractLeaf("none") if kind == "none" else AbstractLeaf("empty", container=_container(kind))


def _container(kind: str) -> Container:
    return "list" if kind == "list" else "tuple" if kind == "tuple" else "dict"


def _containers(leaves: Iterable[KeyPath], record: TreeRecord) -> dict[KeyPath, Container]:
    """Returns the recorded kinds of nodes whose children are still the indices of a list."""
    children: dict[KeyPath, set[str]] = {}
    for path in leaves:
        for depth in range(len(path)):
            children.setdefault(path[:depth], set()).add(path[depth])
    kinds = {parse_path(text): _container(kind) for text, kind in record.containers.items()}
    return {node: kind for node, kind in kinds.items() if children.get(node) == _indices(children.get(node, ()))}


def _indices(children: Iterable[str]) -> set[str]:
    return {str(index) for index in range(len(set(children)))}
