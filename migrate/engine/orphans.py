"""Files in a staging store that no array needs: what a killed run was writing, and trees that are out of date.

The commit links whatever lies in the store, so they would stay in the new checkpoint for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import tensorstore as ts

_BASE, _FILE = 1, 2
"""The parts of a location as TensorStore prints it: `btreenode::d/92e6:0:768`."""


def remove_orphans(store: Path) -> None:
    """Removes every data file that the newest version of a database does not refer to.

    Args:
      store: the database's directory; nobody else may be writing to it.

    Raises:
      ValueError: its index is damaged.
    """
    needed = set(_needed(store))
    for path in (store / "d").glob("*"):
        if path.relative_to(store).as_posix() not in needed:
            path.unlink()


def _needed(store: Path) -> Iterator[str]:
    """The files of the nodes of the newest version, of their values, and of the list of versions."""
    base = ts.KvStore.open({"driver": "file", "path": f"{store}/"}).result()
    manifest = ts.ocdbt.dump(base).result()
    yield from (_file(node["location"]) for node in manifest["version_tree_nodes"])
    root = manifest["versions"][-1]["root"].get("location")
    waiting = [root] if root else []
    while waiting:
        location = waiting.pop()
        yield _file(location)
        node: Any = ts.ocdbt.dump(base, node=location).result()
        waiting += [entry["location"] for entry in node["entries"] if "location" in entry]
        yield from (_file(entry["indirect_value"]) for entry in node["entries"] if "indirect_value" in entry)


def _file(location: str) -> str:
    parts = location.split(":")
    return unquote(parts[_BASE]) + unquote(parts[_FILE])
