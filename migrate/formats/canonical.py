"""Canonical key paths: without the level that Flax's Variables and Linen's boxes add on disk.

A Variable or a box is saved as a node with the single child `value` (`raw_value` by Flax 0.8.2 to 0.8.5). The level
depends on the version and on how the state was saved, so rules and reports never see it. It is detected leaf by leaf:
one checkpoint may have a boxed kernel beside a plain bias. An attention module may also be named `value`, but it has
children, so only a leaf that is the only child of its node is the content of a box.

A module that was itself saved as a pytree (since Flax 0.12) has an internal leaf `_pytree__state` without data in every
node; it is left out too.
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

_OWN = "_pytree__state"


def canonical(stored: AbstractTree, unbox: Unbox = "auto") -> tuple[AbstractTree, Mapping[KeyPath, KeyPath]]:
    """Returns the tree under canonical key paths, and the stored key path of each leaf.

    A box at the root is kept: without it the leaf would have no name.
    """
    if unbox == "never":
        return stored, {path: path for path in stored.leaves}
    child_count = _count_children(stored)
    leaves, origin = [], {}
    for path, leaf in stored.leaves.items():
        if path and path[-1] == _OWN and leaf.kind == "none":
            continue
        boxed = len(path) > 1 and path[-1] in BOX_LEVELS and leaf.kind != "empty" and child_count[path[:-1]] == 1
        name = path[:-1] if boxed else path
        leaves.append((name, _with_box(leaf, path[-1]) if boxed else leaf))
        origin[name] = path
    return AbstractTree.build(leaves, stored.containers), origin


def is_canonical(tree: AbstractTree) -> bool:
    """Whether a tree that is stored with the boxes of its leaves is read under the same key paths."""
    before: KeyPath | None = None
    for path, leaf in tree.leaves.items():
        if before is not None and path[: len(before)] == before:
            return False  # the node of a box has another child
        before = path if leaf.box else None
        if leaf.box and (leaf.box not in BOX_LEVELS or leaf.kind == "empty" or not path):
            return False
        if not leaf.box and path and (path[-1] in BOX_LEVELS or path[-1] == _OWN):
            return False
    return True


def _with_box(leaf: AbstractLeaf, level: str) -> AbstractLeaf:
    return replace(leaf, box=level)


def _count_children(tree: AbstractTree) -> Counter[KeyPath]:
    nodes = {path[:depth] for path in tree.leaves for depth in range(1, len(path) + 1)}
    return Counter(node[:-1] for node in nodes)
