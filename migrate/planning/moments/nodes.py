"""The inner nodes of a tree, each with the leaves below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from migrate.tree import AbstractTree, KeyPath


@dataclass(frozen=True, slots=True)
class InnerNode:
    """An inner node.

    Attributes:
      paths: the key paths of all leaves with data below it, in the order of the tree.
      children: the names of its children below which there are such leaves.
    """

    paths: list[KeyPath] = field(default_factory=list)
    children: set[str] = field(default_factory=set)


def nodes_of(tree: AbstractTree) -> Mapping[KeyPath, InnerNode]:
    """Returns all inner nodes with data below them, and the root, in the order of their first leaves."""
    return tree.once(_nodes_of)


def _nodes_of(tree: AbstractTree) -> Mapping[KeyPath, InnerNode]:
    above: dict[KeyPath, list[InnerNode]] = {(): [InnerNode()]}
    for path, leaf in tree.leaves.items():
        if leaf.has_data:
            around = above.get(path[:-1]) or _added(above, path[:-1])
            around[-1].children.update(path[-1:])
            for node in around:
                node.paths.append(path)
    return {path: around[-1] for path, around in above.items()}


def _added(above: dict[KeyPath, list[InnerNode]], parent: KeyPath) -> list[InnerNode]:
    """Adds a node and those above it that are not known; returns the node with all above it, from the root."""
    known = len(parent) - 1
    while parent[:known] not in above:
        known -= 1
    around = above[parent[:known]]
    for depth in range(known, len(parent)):
        around[-1].children.add(parent[depth])
        around = above[parent[: depth + 1]] = [*around, InnerNode()]
    return around


def below(tree: AbstractTree, node: KeyPath) -> frozenset[KeyPath]:
    """Returns the relative key paths of all leaves with data below a node."""
    found, depth = nodes_of(tree).get(node), len(node)
    return frozenset(path[depth:] for path in found.paths) if found else frozenset()
