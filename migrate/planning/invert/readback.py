"""The target of a plan under the key paths that a reader gives it."""

from __future__ import annotations

from collections.abc import Mapping

from migrate.formats.canonical import canonical, is_canonical
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, stored_path


def as_read(tree: AbstractTree) -> tuple[AbstractTree, Mapping[KeyPath, KeyPath]]:
    """Returns the tree under a reader's key paths, and a map from planned key paths to the reader's.

    A level `value` that is a name in the template looks like Flax's own level on disk, and a reader removes it.
    """
    return tree.once(_as_read)


def renamed_as_read(tree: AbstractTree) -> Mapping[KeyPath, KeyPath]:
    """Returns the map of `as_read` from planned key paths to the reader's, without those that are equal."""
    if tree.once(is_canonical):
        return {}
    return {path: name for path, name in as_read(tree)[1].items() if path != name}


def _as_read(tree: AbstractTree) -> tuple[AbstractTree, Mapping[KeyPath, KeyPath]]:
    if tree.once(is_canonical):
        leaves = {path: _bare(leaf) for path, leaf in tree.leaves.items()}
        changed = any(leaf is not tree.leaves[path] for path, leaf in leaves.items())
        return AbstractTree(leaves, tree.containers) if changed else tree, {path: path for path in leaves}
    stored = AbstractTree.build(
        ((stored_path(path, leaf), _unboxed(leaf)) for path, leaf in tree.leaves.items()), tree.containers
    )
    read, origins = canonical(stored)
    names = {place: name for name, place in origins.items()}
    return read, {path: names[stored_path(path, leaf)] for path, leaf in tree.leaves.items()}


def _bare(leaf: AbstractLeaf) -> AbstractLeaf:
    if leaf.storage is None and leaf.sharding is None and not leaf.content:
        return leaf
    return AbstractLeaf(leaf.kind, leaf.aval, leaf.container, leaf.box)


def _unboxed(leaf: AbstractLeaf) -> AbstractLeaf:
    return AbstractLeaf(leaf.kind, leaf.aval, leaf.container)
