"""The items of a target: how its tree is stored, as one pytree or as the items of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from migrate.formats.canonical import canonical
from migrate.planning.model import Plan
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, stored_path

SINGLE = ""
"""The item name of a checkpoint that is one pytree."""

DEFAULT_ITEM = "default"
"""The name that `CheckpointManager` gives the only item of a step."""


@dataclass(frozen=True, slots=True)
class ItemPlan:
    """One item: its name, the prefix of its key paths in the target's tree, and its own tree."""

    name: str
    prefix: KeyPath
    tree: AbstractTree

    def directory(self, checkpoint: Path) -> Path:
        """Returns the directory of the item in a checkpoint."""
        return checkpoint / self.name if self.name else checkpoint

    def inner(self, path: KeyPath) -> KeyPath:
        """Returns a target key path relative to the item."""
        return path[len(self.prefix) :]


def item_plans(plan: Plan) -> tuple[ItemPlan, ...]:
    """Returns the items that store a plan's target.

    There are several items where the rule file has `layout: items`, and where the source is a step of several items and
    no template sets another layout.
    """
    target, layout = plan.target, plan.rules.target.layout
    parts = list(dict.fromkeys(path[0] for path in target.leaves if path))
    several = layout == "items" or (not layout and not plan.template and len(plan.source.items) > 1)
    if several and target.container(()) == "dict" and len(parts) > 1:
        return tuple(ItemPlan(name, (name,), _below(target, (name,))) for name in parts)
    alone = next(iter(plan.source.items), SINGLE) or DEFAULT_ITEM
    return (ItemPlan(alone if plan.as_step or layout == "items" else SINGLE, (), target),)


def _below(tree: AbstractTree, prefix: KeyPath) -> AbstractTree:
    depth = len(prefix)
    return AbstractTree(
        {path[depth:]: leaf for path, leaf in tree.leaves.items() if path[:depth] == prefix},
        {path[depth:]: kind for path, kind in tree.containers.items() if path[:depth] == prefix},
    )


def item_of(items: tuple[ItemPlan, ...]) -> Mapping[KeyPath, ItemPlan]:
    """Returns the item of each target key path."""
    return {item.prefix + path: item for item in items for path in item.tree.leaves}


def recorded_tree(tree: AbstractTree) -> AbstractTree:
    """Returns the tree that a reader will find: without the levels that look like Flax's, as a reader removes them."""
    stored = ((stored_path(path, leaf), _bare(leaf)) for path, leaf in tree.leaves.items())
    return canonical(AbstractTree.build(stored, tree.containers))[0]


def _bare(leaf: AbstractLeaf) -> AbstractLeaf:
    return AbstractLeaf(leaf.kind, leaf.aval, leaf.container)


def stored_name(path: KeyPath, leaf: AbstractLeaf) -> str:
    """Returns the name under which Orbax stores a leaf: its key path and Flax's level below it, joined with `.`."""
    return ".".join(stored_path(path, leaf))
