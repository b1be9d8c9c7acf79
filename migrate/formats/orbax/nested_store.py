"""Arrays in folders and databases at any depth, without a record of their tree: what raw TensorStore writes.

JAX's own array serialization stores each leaf below its key path, as a zarr folder or as a database, and Levanter and
others build checkpoints from it. The folders below such a directory are segments of key paths.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrate.formats.boundary import Boundary
from migrate.formats.files import is_dir
from migrate.formats.orbax.tree import TRACES
from migrate.formats.unread import RECORDS, STORES, SUFFIXES, searched
from migrate.formats.zarr.key_places import MANIFEST, PROCESS, Database, is_database
from migrate.formats.zarr.metadata import METADATA_KEYS
from migrate.formats.zarr.ocdbt_0_1_35 import is_early

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_STEP_WORDS = re.compile(r"(?i)(.*[^a-z])?(step|steps|ckpt|checkpoint|iter|iteration|epoch|save)[_-]?")


def is_nested_store(folder: Path) -> bool:
    """Whether arrays are stored below a directory, at any depth, and nothing there records a tree."""
    if not is_dir(folder):
        return False
    found = False
    for file in searched(folder):
        if file.name in RECORDS or not {*TRACES}.isdisjoint(file.relative_to(folder).parts):
            return False
        found = found or file.name in STORES
    return found


def is_plain_store(folder: Path) -> bool:
    """Whether a directory is a nested store without a trace of Orbax, which joins the keys of its names with dots."""
    return is_nested_store(folder) and not any("." in name for name in _array_names(folder))


def _array_names(folder: Path) -> Iterator[str]:
    """Yields the names of the arrays below a directory; "." for a database that TensorStore does not read."""
    for file in searched(folder):
        if file.name in METADATA_KEYS.values():
            yield str(file.parent.relative_to(folder)).removeprefix(".")
        elif is_database(file.parent) and file.name == MANIFEST:
            if file.parent.name.startswith(PROCESS) or is_early(file.parent):
                yield "."
                return
            Boundary(folder, follow=True).check(file.parent)  # a pipe would block TensorStore
            keys = (key.rpartition("/") for key in Database(file.parent).keys(None))
            yield from (name for name, _, key in keys if key in METADATA_KEYS.values())


def are_numbered_nodes(folders: Sequence[Path], numbers: Sequence[int | float], others: Iterable[Path]) -> bool:
    """Whether directories with numbers in their names are nodes of one tree, `Dense_0` and `Dense_1`, and not steps.

    Only nested stores without a trace of Orbax are: those beside other arrays, and those that count from 0 (or, with a
    name that is not one for steps, from 1).

    Args:
      folders: the directories.
      numbers: their numbers.
      others: the entries beside them.
    """
    if not all(map(is_plain_store, folders)):
        return False
    if any(map(is_plain_store, others)):
        return True
    runs: dict[str, list[int | float]] = {}
    for folder, number in zip(folders, numbers, strict=True):
        runs.setdefault(folder.name.rstrip("0123456789."), []).append(number)
    alone = len(folders) == 1 and "" in runs
    return not alone and all(_counts(stem, sorted(run)) for stem, run in runs.items())


def _counts(stem: str, run: Sequence[int | float]) -> bool:
    if _STEP_WORDS.fullmatch(stem):
        return False
    return list(run) == [*range(len(run))] or (bool(stem) and list(run) == [*range(1, len(run) + 1)])


def unread_in(folder: Path) -> list[Path]:
    """Returns the files below a nested store that are checkpoints of their own, which its arrays are not read from."""
    return [file for file in searched(folder) if file.suffix in SUFFIXES or file.name in RECORDS]
