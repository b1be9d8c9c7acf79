"""Removes files from a staging store that no array needs: unfinished writes of a killed run, and outdated B-trees.

The commit links every file of the store, so they would otherwise stay in the new checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from migrate.formats.zarr.ocdbt_index import Index

_TEMPORARY = ".__lock"
"""The end of the names under which TensorStore writes a file before it renames it."""


def remove_orphans(store: Path) -> None:
    """Removes every data file to which the newest version of a database does not refer.

    Args:
      store: the database's directory; no other process may write to it.

    Raises:
      ValueError: its index is damaged.
    """
    needed = set(_needed_files(Index(store)))
    for path in (store / "d").glob("*"):
        if path.relative_to(store).as_posix() not in needed:
            path.unlink()


def remove_unfinished(folder: Path) -> None:
    """Removes the temporary files of writes that a kill interrupted; no key ends as their names do.

    TensorStore would write into such a file again and not cut it off, so that a longer one would leave its end in a
    manifest, which cannot be read then.

    Args:
      folder: the staging folder; no other process may write to it.
    """
    for path in folder.rglob(f"*{_TEMPORARY}"):
        if path.is_file():
            path.unlink()


def _needed_files(index: Index) -> Iterator[str]:
    """The files of the lists of versions, and of the nodes and values of the newest version."""
    yield from (place.file for place in index.version_lists())
    for node in index.nodes():
        yield node.place.file
        yield from (value.file for value in node.values if not value.is_inline)
