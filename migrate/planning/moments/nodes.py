"""The inner nodes of a tree, each with the leaves below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from migrate.tree import AbstractTree, KeyPath


@dataclass(frozen=True, slots=True)
class Node:
    """An inner node.

    Attributes:
      paths: the key paths of all leaves with data below it, in the order of the tree.
      children: the names of its children below which there are such leaves.
    """

    paths: list[KeyPath] = field(default_factory=list)
    children: set[str] = field(default_factory=set)


def nodes_of(tree: AbstractTree) -> Mapping[KeyPath, Node]:
    """Returns all inner nodes with data below them, the root included, in the order of their first leaves."""
    return tree.once(_nodes_of)


def _nodes_of(tree: AbstractTree) -> Mapping[KeyPath, Node]:
    nodes: dict[KeyPath, Node] = {}
    above: dict[KeyPath, list[Node]] = {}
    for path, leaf in tree.leaves.items():
        if leaf.has_data:
            parent = path[:-1]
            around = above.get(parent)
            if around is None:
                around = above[parent] = _around(nodes, parent)
            if path:
                around[-1].children.add(path[-1])
            for node in around:
                node.paths.append(path)
    return nodes


def _around(nodes: dict[KeyPath, Node], parent: KeyPath) -> list[Node]:
    """Returns a node and all above it, from the root; nodes that are not known are added."""
    around: list[Node] = []
    for depth in range(len(parent) + 1):
        node = nodes.get(parent[:depth])
        if node is None:
            node = nodes[parent[:depth]] = Node()
            if around:
                around[-1].children.add(parent[depth - 1])
        around.append(node)
    return around


def below(tree: AbstractTree, node: KeyPath) -> frozenset[KeyPath]:
    """Returns the relative key paths of all leaves with data below a node."""
    found, depth = nodes_of(tree).get(node), len(node)
    return frozenset(path[depth:] for path in found.paths) if found else frozenset()
