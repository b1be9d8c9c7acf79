"""Compares the leaves that a record or a template lists with those of a checkpoint, both as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migrate.formats.reader import AbstractCheckpoint
from migrate.metadata import Metadata

SHOWN = 5
"""The number of differing leaves that a message names; its paths list all of them."""

ABSENT = "absent"
"""The description of a leaf that only the other side has."""

Leaves = Mapping[str, str]
"""The description of each leaf by key path (`AbstractTree.signature`)."""


@dataclass(frozen=True, slots=True)
class LeafChange:
    """A leaf that differs; `ABSENT` stands for a leaf that only the other side has."""

    path: str
    before: str
    after: str


def leaf_changes(before: Leaves, after: Leaves) -> list[LeafChange]:
    """Returns the leaves that differ, sorted by key path."""
    differ = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
    return [LeafChange(path, before.get(path, ABSENT), after.get(path, ABSENT)) for path in differ]


def listed_changes(changes: Sequence[LeafChange], was: str = "was", now: str = "is") -> str:
    """Returns the first changes as text, and the number of the others."""
    named = "; ".join(f"`{change.path}` {was} {change.before}, {now} {change.after}" for change in changes[:SHOWN])
    return named + (f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else "")


def changes_since_record(source: AbstractCheckpoint, metadata: Metadata) -> list[LeafChange]:
    """Returns the leaves of a checkpoint that differ from those that it records.

    The record of a migration lists all leaves. A record of a model (`Metadata.of`) may list those of a part, where the
    model was saved beside other state.
    """
    recorded, found = _of_chosen_item(source, metadata.leaves), source.tree.signature
    return leaf_changes(recorded, found if metadata.source_structure_hash else part_like(recorded, found))


def part_like(model: Leaves, found: Leaves) -> Leaves:
    """Returns the leaves of the part of a checkpoint that is most like a model, by the key paths of the model.

    The part is a subtree, or the whole tree without the top-level nodes that the model does not have. Where no leaf is
    alike, it is all of them.
    """
    prefix = _closest_prefix(model, found)
    if prefix is None:
        return found
    if prefix:
        return {path.removeprefix(prefix): leaf for path, leaf in found.items() if path.startswith(prefix)}
    tops = {_top(path) for path in model}
    return {path: leaf for path, leaf in found.items() if _top(path) in tops}


def _closest_prefix(model: Leaves, found: Leaves) -> str | None:
    """Returns the prefix below which most leaves are those of the model, the shortest of several; None without any."""
    equal: Counter[str] = Counter({"": sum(found.get(path) == leaf for path, leaf in model.items())})
    if equal[""] < len(model):
        for path, leaf in found.items():
            at = path.find("/") + 1
            while at:
                if model.get(path[at:]) == leaf:
                    equal[path[:at]] += 1
                at = path.find("/", at) + 1
    closest = min(equal, key=lambda prefix: (-equal[prefix], len(prefix), prefix))
    return closest if equal[closest] else None


def _top(path: str) -> str:
    return path.partition("/")[0]


def _of_chosen_item(source: AbstractCheckpoint, recorded: Leaves) -> Leaves:
    """Returns the recorded leaves; where one item of several was chosen, only those of that item."""
    names = [name for name in source.items if name]
    if len(names) != 1:
        return recorded
    prefix = f"{names[0]}/"
    chosen = {path.removeprefix(prefix): leaf for path, leaf in recorded.items() if path.startswith(prefix)}
    is_narrowed = len(chosen) == len(recorded) or source.unread
    return chosen if chosen and is_narrowed else recorded
