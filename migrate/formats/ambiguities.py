"""Notes about what a tree on disk does not record of the tree that was saved: kinds of sequences, empty states.

Lists and tuples are written alike, and empty optimizer states as None. Key paths are not affected, but a checkpoint
that is written without a template gets the kinds that the reader assumes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.codes import UnknownNodeKind
from migrate.errors import listed
from migrate.tree import format_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from migrate.errors import Diagnostic
    from migrate.tree import AbstractTree, KeyPath

_NAMED = 3


def losses(tree: AbstractTree) -> Iterator[Diagnostic]:
    """Yields a note for each kind of assumption."""
    sequences = {path for path, kind in tree.containers.items() if kind == "list"}
    if sequences:
        kinds = "a list or a tuple; it is read as a list" if len(sequences) == 1 else "lists or tuples; read as lists"
        yield _note(sorted(sequences), f"may have been saved as {kinds}")
    rows = sequences.union(_counted(tree))
    holes = [path for path, leaf in tree.leaves.items() if leaf.kind == "none" and path[:-1] in rows]
    if holes:
        yield _note(holes, "may have been saved as None, () or an empty state; read as None")


def _counted(tree: AbstractTree) -> list[KeyPath]:
    """Returns the dicts whose keys count from 0."""
    keys: dict[KeyPath, set[str]] = {}
    for path in tree.leaves:
        for depth in range(len(path)):
            keys.setdefault(path[:depth], set()).add(path[depth])
    numbered = (path for path, names in keys.items() if "0" in names and names == set(map(str, range(len(names)))))
    return [path for path in numbered if path not in tree.containers]


def _note(paths: Sequence[KeyPath], what: str) -> Diagnostic:
    names = [format_path(path) for path in paths]
    return UnknownNodeKind.at(f"{listed(names, _NAMED)} {what}", paths=names)
