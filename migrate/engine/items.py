"""How a target's tree lies on disk: as one pytree, or as the items of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from migrate.formats.canonical import canonical
from migrate.planning.model import Plan
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, stored_path

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

    Several items are made where the rule file says `layout: items`, and where the source was a step of several items
    and there is no template that says otherwise.
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
    """The item of each target key path."""
    return {item.prefix + path: item for item in items for path in item.tree.leaves}


def recorded_tree(tree: AbstractTree) -> AbstractTree:
    """The tree that a reader will find: levels that look like Flax's are taken off as a reader does."""
    stored = ((stored_path(path, leaf), _bare(leaf)) for path, leaf in tree.leaves.items())
    return canonical(AbstractTree.build(stored, tree.containers))[0]


def _bare(leaf: AbstractLeaf) -> AbstractLeaf:
    return AbstractLeaf(leaf.kind, leaf.aval, leaf.container)


def stored_name(path: KeyPath, leaf: AbstractLeaf) -> str:
    """Returns the name under which Orbax stores a leaf: its key path and Flax's level below it, joined with `.`."""
    return ".".join(stored_path(path, leaf))
