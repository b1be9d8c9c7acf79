"""Random keys that are items, and that the template does not name: a step of items keeps them like JSON items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from migrate.formats.item_kinds import KEYS
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.claims import claim_leaves
from migrate.rules.model import RuleSet
from migrate.tree import AbstractTree


def with_carried_items(source: AbstractCheckpoint, rules: RuleSet, template: AbstractTree) -> AbstractTree:
    """Returns the template's tree with the random keys that a step of items keeps.

    Args:
      source: the source.
      rules: the rules; without `layout: items`, nothing is carried over, and no leaf that they name.
      template: the template's tree.
    """
    named = {path[0] for path in template.leaves if path}
    keys = {name for name, kind in source.kinds.items() if kind in KEYS and name not in named}
    if rules.target.layout != "items" or len(source.items) < 2 or not keys:
        return template
    claimed = {path[0] for path in claim_leaves(rules.rules, source.tree, source.extras).claimed}
    return _joined(template, source.tree, sorted(keys - claimed))


def without_carried_items(checkpoint: AbstractCheckpoint, template: AbstractTree) -> AbstractTree:
    """Returns the tree of a checkpoint without the random keys that its template does not name."""
    named = {path[0] for path in template.leaves if path}
    carried = {name for name, kind in checkpoint.kinds.items() if kind in KEYS and name not in named}
    if len(checkpoint.items) < 2 or not carried:
        return checkpoint.tree
    leaves = {path: leaf for path, leaf in checkpoint.tree.leaves.items() if path[0] not in carried}
    return replace(checkpoint.tree, leaves=leaves)


def _joined(template: AbstractTree, source: AbstractTree, names: Iterable[str]) -> AbstractTree:
    kept = [(path, leaf) for path, leaf in source.leaves.items() if path[0] in names]
    bare = [(path, replace(leaf, storage=None, sharding=None)) for path, leaf in kept]
    containers = {path: kind for path, kind in source.containers.items() if path and path[0] in names}
    return AbstractTree.build([*template.leaves.items(), *bare], {**template.containers, **containers})
