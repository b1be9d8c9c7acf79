"""Files in a staging store that no array needs: what a killed run was writing, and trees that are out of date.

The commit links whatever lies in the store, so they would stay in the new checkpoint for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from migrate.engine.linking.ocdbt_index import Index, parse_location


def remove_orphans(store: Path) -> None:
    """Removes every data file that the newest version of a database does not refer to.

    Args:
      store: the database's directory; nobody else may be writing to it.

    Raises:
      ValueError: its index is damaged.
    """
    needed = {parse_location(location).file for location in _needed(Index(store))}
    for path in (store / "d").glob("*"):
        if path.relative_to(store).as_posix() not in needed:
            path.unlink()


def _needed(index: Index) -> Iterator[str]:
    """The locations of the nodes of the newest version, of their values, and of the list of versions."""
    yield from index.version_lists()
    for node in index.nodes():
        yield node.location
        yield from (entry["indirect_value"] for entry in node.entries if "indirect_value" in entry)
