"""Notes on a checkpoint, grouped: one note with a count for an assumption about many leaves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from migrate.codes import ReaderAssumption
from migrate.errors import Diagnostic
from migrate.report.amounts import plural
from migrate.tree import AbstractTree, KeyPath, format_path


def grouped(notes: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Merges notes of one code that differ only in their leaf into one note with all key paths."""
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
    message = f"{first.message}; the same for {plural(len(group) - 1, 'more leaf')}"
    return replace(first, message=message, paths=tuple(path for note in group for path in note.paths))


def storage_notes(tree: AbstractTree) -> Iterator[Diagnostic]:
    """Yields notes on how the tree is stored where key paths and containers do not show it."""
    boxed: dict[str, list[KeyPath]] = {}
    for path, leaf in tree.leaves.items():
        if leaf.box:
            boxed.setdefault(leaf.box, []).append(path)
    for level, paths in boxed.items():
        message = (
            f"{plural(len(paths), 'leaf')} stored one level deeper, under `{level}`, as Flax's Variables and boxes "
            "are; key paths omit that level"
        )
        yield ReaderAssumption.at(message, paths=map(format_path, paths))
    numbered = _numbered(tree)
    if numbered:
        message = (
            "1 mapping has the keys 0, 1, … as text; it may have been a list, a tuple or a mapping with integer keys"
            if len(numbered) == 1
            else f"{plural(len(numbered), 'mapping')} have the keys 0, 1, … as text; they may have been lists, tuples "
            "or mappings with integer keys"
        )
        yield ReaderAssumption.at(message, paths=map(format_path, numbered))


def _numbered(tree: AbstractTree) -> list[KeyPath]:
    """Returns the nodes that are stored as mappings but have the children of a list."""
    children: dict[KeyPath, set[str]] = {}
    for path in tree.leaves:
        for depth in range(len(path)):
            children.setdefault(path[:depth], set()).add(path[depth])
    return [
        node
        for node, names in children.items()
        if "0" in names and tree.container(node) == "dict" and names == {str(i) for i in range(len(names))}
    ]
