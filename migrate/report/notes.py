"""Notes on a checkpoint by class: one line for what was assumed of ten thousand leaves, with their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from migrate.codes import ReaderAssumption
from migrate.errors import Diagnostic
from migrate.report.amounts import plural
from migrate.tree import AbstractTree, KeyPath, format_path


def by_class(notes: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Notes of one code that say the same of different leaves become one, with all their key paths."""
    classes: dict[tuple[str, str], list[Diagnostic]] = {}
    alone: list[Diagnostic] = []
    for note in dict.fromkeys(notes):
        about = next((path for path in note.paths if f"`{path}`" in note.message), None)
        if note.severity != "note" or about is None or len(note.paths) != 1:
            alone.append(note)
        else:
            classes.setdefault((note.code, note.message.replace(f"`{about}`", "\0", 1)), []).append(note)
    return [*(_one(group) for group in classes.values()), *alone]


def _one(group: Sequence[Diagnostic]) -> Diagnostic:
    first = group[0]
    if len(group) == 1:
        return first
    message = f"{first.message}; the same of {plural(len(group) - 1, 'more leaf')}"
    return replace(first, message=message, paths=tuple(path for note in group for path in note.paths))


def normalised(tree: AbstractTree) -> Iterator[Diagnostic]:
    """What key paths and containers do not show of how the tree is stored."""
    boxed: dict[str, list[KeyPath]] = {}
    for path, leaf in tree.leaves.items():
        if leaf.box:
            boxed.setdefault(leaf.box, []).append(path)
    for level, paths in boxed.items():
        what = (
            f"{plural(len(paths), 'leaf')} stored one level deeper, under `{level}`, as by Flax's Variables and boxes"
        )
        yield ReaderAssumption.at(f"{what}; key paths leave that level out", paths=map(format_path, paths))
    numbered = _numbered(tree)
    if numbered:
        what = f"{plural(len(numbered), 'mapping')} with the keys 0, 1, …: lists, tuples or integer keys"
        yield ReaderAssumption.at(f"{what} that were stored as text", paths=map(format_path, numbered))


def _numbered(tree: AbstractTree) -> list[KeyPath]:
    """Nodes that are stored as mappings and have the children of a list."""
    children: dict[KeyPath, set[str]] = {}
    for path in tree.leaves:
        for depth in range(len(path)):
            children.setdefault(path[:depth], set()).add(path[depth])
    return [
        node
        for node, names in children.items()
        if "0" in names and tree.container(node) == "dict" and names == {str(i) for i in range(len(names))}
    ]
