"""How a target's tree lies on disk: as one pytree, or as the items of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from migrate.formats.canonical import canonical
from migrate.plan.model import Plan
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath

SINGLE = ""
"""The name of the item of a checkpoint that is one pytree."""

DEFAULT_ITEM = "default"
"""What `CheckpointManager` calls the only item of a step."""


@dataclass(frozen=True, slots=True)
class ItemPlan:
    """One item: its name, the key path prefix that it takes from the target's tree, and its own tree."""

    name: str
    prefix: KeyPath
    tree: AbstractTree

    def directory(self, checkpoint: Path) -> Path:
        """Where the item lies in the checkpoint."""
        return checkpoint / self.name if self.name else checkpoint

    def inner(self, path: KeyPath) -> KeyPath:
        """A target key path as the item knows it."""
        return path[len(self.prefix) :]


def item_plans(plan: Plan) -> tuple[ItemPlan, ...]:
    """The items that a plan's target becomes.

    Several items are made where the rule file says `layout: items`, and where the source was a step of several items and there
    is no template that says otherwise.
    """
    target = plan.target
    if plan.rules.target.layout != "items" and (plan.template or plan.rules.target.layout or len(plan.source.items) < 2):
        return (ItemPlan(SINGLE, (), target),)
    parts = list(dict.fromkeys(path[0] for path in target.leaves if path))
    if target.container(()) != "dict" or len(parts) < 2:
        return (ItemPlan(DEFAULT_ITEM, (), target),)
    return tuple(ItemPlan(name, (name,), _below(target, (name,))) for name in parts)


def _below(tree: AbstractTree, prefix: KeyPath) -> AbstractTree:
    depth = len(prefix)
    return AbstractTree(
        {path[depth:]: leaf for path, leaf in tree.leaves.items() if path[:depth] == prefix},
        {path[depth:]: kind for path, kind in tree.containers.items() if path[:depth] == prefix},
    )


def item_of(items: tuple[ItemPlan, ...]) -> Mapping[KeyPath, ItemPlan]:
    """The item of each target key path."""
    return {item.prefix + path: item for item in items for path in item.tree.leaves}


def recorded_hash(tree: AbstractTree) -> str:
    """The structure hash that a reader will find: levels that look like Flax's are taken off as a reader does."""
    stored = ((((*path, leaf.box) if leaf.box else path), _bare(leaf)) for path, leaf in tree.leaves.items())
    return canonical(AbstractTree.build(stored, tree.containers))[0].structure_hash


def _bare(leaf: AbstractLeaf) -> AbstractLeaf:
    return AbstractLeaf(leaf.kind, leaf.aval, leaf.container)
