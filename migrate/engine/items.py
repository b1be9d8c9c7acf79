"""The items of a target: how its tree is stored, as one pytree or as the items of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from migrate import dtypes
from migrate.formats.canonical import canonical
from migrate.formats.item_kinds import ARRAY, BARE, KEYS, PYTREE, RAW_KEY, STANDARD_HANDLER, TYPED_KEY, ItemKind
from migrate.planning.model import Plan
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, stored_path

SINGLE = ""
"""The item name of a checkpoint that is one pytree."""

DEFAULT_ITEM = "default"
"""The name that `CheckpointManager` gives the only item of a step."""


@dataclass(frozen=True, slots=True)
class ItemPlan:
    """One item.

    Attributes:
      name: its name.
      prefix: the prefix of its key paths in the target's tree.
      tree: its own tree.
      kind: how it is stored.
      plain: whether its arrays are files of plain zarr rather than in an OCDBT database.
    """

    name: str
    prefix: KeyPath
    tree: AbstractTree
    kind: ItemKind = PYTREE
    plain: bool = False

    @property
    def place(self) -> str:
        """The directory of its arrays, relative to the checkpoint."""
        return "/".join(filter(None, (self.name, self.kind.folder)))

    def directory(self, checkpoint: Path) -> Path:
        """Returns the directory of the item's arrays in a checkpoint."""
        return checkpoint / self.place

    def stored_name(self, inner: KeyPath) -> str:
        """Returns the name under which a leaf with data is stored, for its key path relative to the item."""
        return BARE if self.kind.bare else stored_name(inner, self.tree.leaves[inner])

    def is_zarr3(self, plan: Plan) -> bool:
        """Returns whether its arrays are zarr version 3."""
        return plan.source.zarr3 and not self.kind.bare

    def inner(self, path: KeyPath) -> KeyPath:
        """Returns a target key path relative to the item."""
        return path[len(self.prefix) :]


def item_plans(plan: Plan) -> tuple[ItemPlan, ...]:
    """Returns the items that store a plan's target: one for each of its parts, or one pytree."""
    target, layout = plan.target, plan.rules.target.layout
    if plan.parts:
        return tuple(_item(plan, name, (name,), target.below((name,))) for name in plan.parts)
    alone = next(iter(plan.source.items), SINGLE) or DEFAULT_ITEM
    if plan.as_step or layout == "items":
        return (_item(plan, alone, (), target),)
    return (ItemPlan(SINGLE, (), target, plain=plan.rules.target.plain_zarr),)


def _item(plan: Plan, name: str, prefix: KeyPath, tree: AbstractTree) -> ItemPlan:
    kind = _with_handler(plan, _kind(plan, prefix, tree), prefix, tree)
    return ItemPlan(name, prefix, tree, kind, plan.rules.target.plain_zarr or kind.bare)


def _kind(plan: Plan, prefix: KeyPath, tree: AbstractTree) -> ItemKind:
    """Returns the kind of an item: a typed key is a random key, others have the kind of their source where it fits."""
    alone = tree.leaves.get(())
    if alone is not None and alone.aval is not None and dtypes.key_impl(alone.aval.dtype):
        return TYPED_KEY
    kind = _source_kind(plan, prefix, tree)
    if alone is None or alone.kind != "array":
        return PYTREE if kind.bare else kind
    if alone.aval is not None and alone.aval.dtype == "uint32" and (plan.template or kind in KEYS):
        return RAW_KEY
    return kind if kind == ARRAY else PYTREE


def _with_handler(plan: Plan, kind: ItemKind, prefix: KeyPath, tree: AbstractTree) -> ItemKind:
    """Returns the kind with the handler that saved the source's pytree, for a step of a root.

    A `CheckpointManager` that restores an item by its recorded handler saves and restores it by no other one.
    """
    if not plan.as_step or kind != PYTREE or plan.source.handlers.get(_origin(plan, prefix, tree)) != STANDARD_HANDLER:
        return kind
    return replace(kind, handler=STANDARD_HANDLER)


def _source_kind(plan: Plan, prefix: KeyPath, tree: AbstractTree) -> ItemKind:
    """Returns the kind of the source's item that became an item; a tree with another structure is a pytree."""
    if not plan.source.kinds:
        return PYTREE
    origin = _origin(plan, prefix, tree)
    kind = plan.source.kinds.get(origin, PYTREE)
    return kind if kind.bare or tree.signature == plan.source.items[origin].signature else PYTREE


def _origin(plan: Plan, prefix: KeyPath, tree: AbstractTree) -> str:
    """Returns the source's item from which an item comes."""
    if len(plan.source.items) == 1:
        return next(iter(plan.source.items))
    first = (*prefix, *next(iter(tree.leaves), ()))
    names = (task.sources[0][0] for task in plan.tasks if first in task.targets and task.sources[0])
    return next(names, next(iter(plan.source.items)))


def copied_items(plan: Plan) -> Mapping[str, Path]:
    """Returns the directories of the source's items of other kinds that a step of a root keeps, by name."""
    names = {item.name for item in item_plans(plan)} | set(plan.extras)
    return {name: place for name, place in plan.source.others.items() if plan.as_step and name not in names}


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
