"""Flat names as key paths: formats without nesting name a leaf by its whole path, `model.layers.0.weight`.

Rules match segments, so names are split where their writer joined them: at the separator under which they form a tree,
in which no name is both a leaf and a node. Where none does, the longer of two such names (`head` and `head.scale`)
keeps the rest of its name as one segment. Joining a key path always returns the original name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.codes import ReaderAssumption
from migrate.errors import listed
from migrate.tree import KeyPath, format_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from migrate.errors import Diagnostic

SLASHES = ("//", "/")
OTHERS = (",", ".", "::", ":", "__", "|", ";")
"""The separators that are tried, in order of preference."""


def separator_of(names: Collection[str], first: Sequence[str] = ()) -> str:
    """Returns the separator of the names of one file, which is the same for the same names.

    A slash, if any name contains one and they form a tree with it: `//` if every slash is one of a pair, else `/`.
    Otherwise the separator in the most names with which they form a tree; of several, the first in `OTHERS`. Where none
    does, `/` if any name contains one, else `.`.

    Args:
      names: the names.
      first: separators that precede all others.
    """
    slashed = any("/" in name for name in names)
    early = [*first, *SLASHES] if slashed else first
    for separator in early:
        if any(separator in name for name in names) and _is_whole(names, separator) and forms_tree(names, separator):
            return separator
    counts = {separator: sum(separator in name for name in names) for separator in OTHERS}
    for separator in sorted(OTHERS, key=lambda one: -counts[one]):
        if counts[separator] and _is_likely(names, separator, counts[separator]) and forms_tree(names, separator):
            return separator
    return "/" if slashed else "."


def _is_whole(names: Iterable[str], separator: str) -> bool:
    """Whether a doubled character occurs only as a pair, so that its single occurrences are not separators."""
    char = separator[0]
    return len(separator) == 1 or all(char not in name.replace(separator, "") for name in names)


def _is_likely(names: Collection[str], separator: str, count: int) -> bool:
    """Whether names were joined with a separator: `.` is usual, others are in most names and leave no segment empty."""
    if separator == ".":
        return True
    char = separator[0]
    alone = separator == char or char == "_" or _is_whole(names, separator)
    return alone and 2 * count > len(names) and all(all(name.split(separator)) for name in names)


def forms_tree(names: Collection[str], separator: str) -> bool:
    """Whether no name is both a leaf and a node if all are split at a separator."""
    paths = {tuple(name.split(separator)) for name in names}
    return not any(path[:depth] in paths for path in paths for depth in range(1, len(path)))


def split_names(names: Iterable[str], separator: str) -> dict[str, KeyPath]:
    """Returns the key path of each name; none is below another, and no two are equal. "" splits nothing."""
    whole = {name: tuple(name.split(separator)) if separator else (name,) for name in names}
    leaves = set(whole.values())
    return {name: _above_no_leaf(path, leaves, separator) for name, path in whole.items()}


def _above_no_leaf(path: KeyPath, leaves: set[KeyPath], separator: str) -> KeyPath:
    for depth in range(1, len(path)):
        if path[:depth] in leaves:
            return (*path[: depth - 1], separator.join(path[depth - 1 :]))
    return path


def collisions(paths: Mapping[str, KeyPath], separator: str) -> list[Diagnostic]:
    """Returns a note about the names that were not split at every separator."""
    if not separator:
        return []
    kept = [format_path(path) for path in paths.values() if any(separator in segment for segment in path)]
    if not kept:
        return []
    message = f"a name that extends another name is not split at every `{separator}`; read as {listed(kept, 5)}"
    return [ReaderAssumption.at(message, paths=kept)]
