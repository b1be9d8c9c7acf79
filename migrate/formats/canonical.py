"""Canonical key paths: without the level that Flax's Variables and Linen's boxes add on disk.

A Variable or a box is saved as a node with the one child `value` (`raw_value` by Flax 0.8.2 to 0.8.5). The level comes
and goes with the version and with how the state was saved, so rules and reports never see it. It is decided leaf by
leaf: within one checkpoint a boxed kernel lies beside a plain bias. An attention module may itself be called `value`;
it has children of its own, so only a leaf that is the lone child of its node is a box's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from migrate.knowledge.naming import BOX_LEVELS
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath

if TYPE_CHECKING:
    from collections.abc import Mapping

Unbox = Literal["auto", "never"]


def canonical(stored: AbstractTree, unbox: Unbox = "auto") -> tuple[AbstractTree, Mapping[KeyPath, KeyPath]]:
    """The tree under canonical key paths, and where each of them is stored.

    A box at the root is left alone: the leaf would have no name.
    """
    if unbox == "never":
        return stored, {path: path for path in stored.leaves}
    child_count = _count_children(stored)
    leaves, origin = [], {}
    for path, leaf in stored.leaves.items():
        boxed = len(path) > 1 and path[-1] in BOX_LEVELS and leaf.kind != "empty" and child_count[path[:-1]] == 1
        name = path[:-1] if boxed else path
        leaves.append((name, _with_box(leaf, path[-1]) if boxed else leaf))
        origin[name] = path
    return AbstractTree.build(leaves, stored.containers), origin


def _with_box(leaf: AbstractLeaf, level: str) -> AbstractLeaf:
    return replace(leaf, box=level)


def _count_children(tree: AbstractTree) -> Counter[KeyPath]:
    nodes = {path[:depth] for path in tree.leaves for depth in range(1, len(path) + 1)}
    return Counter(node[:-1] for node in nodes)
