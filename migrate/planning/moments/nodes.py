"""The inner nodes of a tree with data below them.

A tree has about as many inner nodes as leaves, and few of them matter for moments. Nodes are therefore found by the
names of their children, and the leaves below a node by bisection: in natural order, they follow each other.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence, Set

from migrate.tree import AbstractTree, KeyPath, natural_key


def holders(tree: AbstractTree, names: Set[str]) -> list[KeyPath]:
    """Returns the nodes below the root with data below a child of one of these names.

    They are in the order of the first leaves below such children; of nodes with the same first leaf, the upper comes
    first.
    """
    found: dict[KeyPath, None] = {}
    for path in tree.with_data:
        if not names.isdisjoint(path):
            for depth, segment in enumerate(path):
                if segment in names and depth:
                    found[path[:depth]] = None
    return [*found]


def paths_below(tree: AbstractTree, node: KeyPath) -> Sequence[KeyPath]:
    """Returns the key paths of all leaves with data below a node, in natural order."""
    if not node:
        return [*tree.with_data]
    paths, depth, key = tree.once(_paths), len(node), natural_key(node)
    start = bisect_left(paths, key, key=natural_key)
    found = paths[start : bisect_right(paths, key, start, key=lambda path: natural_key(path[:depth]))]
    return found[1:] if found[:1] == [node] else found


def _paths(tree: AbstractTree) -> list[KeyPath]:
    return [*tree.with_data]


def children(tree: AbstractTree, node: KeyPath) -> set[str]:
    """Returns the names of the children of a node that have data or data below them."""
    return {path[len(node)] for path in paths_below(tree, node)}


def below(tree: AbstractTree, node: KeyPath) -> frozenset[KeyPath]:
    """Returns the relative key paths of all leaves with data below a node."""
    depth = len(node)
    return frozenset([path[depth:] for path in paths_below(tree, node)])
