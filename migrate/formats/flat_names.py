"""Flat names as key paths: formats without nesting name a leaf by its whole path, `model.layers.0.weight`.

Rules match segments, so a name is split where its writer joined it. Where a name is a prefix of another (`head` and
`head.scale`), the longer one keeps the rest of its name as one segment, since no leaf can be below another leaf.
Joining a key path always returns the original name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.codes import ReaderAssumption
from migrate.errors import listed
from migrate.tree import KeyPath, format_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from migrate.errors import Diagnostic


def separator_of(names: Iterable[str]) -> str:
    """Returns the separator of the names of one file: `/` where any name contains one, else `.`."""
    return "/" if any("/" in name for name in names) else "."


def split_names(names: Iterable[str], separator: str) -> dict[str, KeyPath]:
    """Returns the key path of each name; none is below another, and no two are equal."""
    whole = {name: tuple(name.split(separator)) for name in names}
    leaves = set(whole.values())
    return {name: _above_no_leaf(path, leaves, separator) for name, path in whole.items()}


def _above_no_leaf(path: KeyPath, leaves: set[KeyPath], separator: str) -> KeyPath:
    for depth in range(1, len(path)):
        if path[:depth] in leaves:
            return (*path[: depth - 1], separator.join(path[depth - 1 :]))
    return path


def collisions(paths: Mapping[str, KeyPath], separator: str) -> list[Diagnostic]:
    """Returns a note about the names that were not split at every separator."""
    kept = [format_path(path) for path in paths.values() if any(separator in segment for segment in path)]
    if not kept:
        return []
    message = f"a name that extends another name is not split at every `{separator}`; read as {listed(kept, 5)}"
    return [ReaderAssumption.at(message, paths=kept)]
