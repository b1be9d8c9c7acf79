"""The target of a plan under the key paths that a reader gives it."""

from __future__ import annotations

from collections.abc import Mapping

from migrate.formats.canonical import canonical
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, stored_path


def as_read(tree: AbstractTree) -> tuple[AbstractTree, Mapping[KeyPath, KeyPath]]:
    """Returns the tree under a reader's key paths, and a map from planned key paths to the reader's.

    A level `value` that is a name in the template looks like Flax's own level on disk, and a reader removes it.
    """
    stored = AbstractTree.build(
        ((stored_path(path, leaf), _unboxed(leaf)) for path, leaf in tree.leaves.items()), tree.containers
    )
    read, origins = canonical(stored)
    names = {place: name for name, place in origins.items()}
    return read, {path: names[stored_path(path, leaf)] for path, leaf in tree.leaves.items()}


def _unboxed(leaf: AbstractLeaf) -> AbstractLeaf:
    return AbstractLeaf(leaf.kind, leaf.aval, leaf.container)
