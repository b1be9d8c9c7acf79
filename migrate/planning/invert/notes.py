"""Notes on structure that a rule file without a template cannot restore; no value is lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from migrate.planning.invert.model import Lost, Note
from migrate.planning.model import Plan
from migrate.tree import AbstractTree, KeyPath


def structure_notes(plan: Plan, back: Plan, lost: Collection[Lost]) -> tuple[Note, ...]:
    """Returns the structural differences between a source and the target of its inverse plan.

    Args:
      plan: the plan that was inverted.
      back: the plan of the inverse file.
      lost: leaves that are reported as lost.
    """
    gone = {one.path for one in lost if one.kind != "rounded"}
    return (*_items(plan, back), *_notes(plan.source.tree.by_source[()], back.target, gone))


def _items(plan: Plan, back: Plan) -> Iterator[Note]:
    names = tuple((name,) for name in plan.source.items)
    if len(names) > 1 and back.rules.target.layout != "items":
        yield Note("items", "the items of a step come back as one tree", names)


def _notes(source: AbstractTree, made: AbstractTree, gone: Collection[KeyPath]) -> Iterator[Note]:
    missing = tuple(path for path in source.leaves if path not in made.leaves and path not in gone)
    if missing:
        yield Note("empty", "leaves without data are not restored; a template of the old model supplies them", missing)
    shared = [path for path in source.leaves if path in made.leaves]
    nodes = _inner_nodes(shared)
    kinds = tuple(node for node in nodes if source.container(node) != made.container(node))
    if kinds:
        message = "lists and tuples come back as mappings with the keys 0, 1, …, or the reverse"
        yield Note("containers", message, kinds)
    levels = tuple(path for path in shared if source.leaves[path].box != made.leaves[path].box)
    if levels:
        yield Note(
            "levels", "Flax's level `value` is stored where it was absent, or absent where it was stored", levels
        )
    numbers = tuple(path for path in shared if source.leaves[path].kind != made.leaves[path].kind)
    if numbers:
        yield Note("numbers", "Python numbers come back as arrays without dimensions, or the reverse", numbers)


def _inner_nodes(paths: Collection[KeyPath]) -> list[KeyPath]:
    return list(dict.fromkeys(path[:depth] for path in paths for depth in range(len(path))))
