"""Arrays beside a checkpoint that are not part of it: refused, since ignoring them could lose a part of a model."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from migrate.codes import AmbiguousItem
from migrate.errors import CheckpointError, listed
from migrate.formats.files import is_file
from migrate.places.bucket_path import BucketPath

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STORES = (".zarray", "zarr.json", "manifest.ocdbt")
"""The files of zarr arrays and databases."""
RECORDS = ("_METADATA", "checkpoint")
"""The files in which Orbax records a tree."""
SUFFIXES = (".safetensors", ".npz", ".npy", ".msgpack", ".h5", ".keras", ".eqx")
"""The usual suffixes of files that hold arrays."""
_SEARCHED = 20_000


def searched(path: Path) -> Iterator[Path]:
    """Yields a file, or the first files below a directory; links to directories may lead out of it."""
    if isinstance(path, BucketPath):
        return iter([path]) if is_file(path) else islice(path.files_below(), _SEARCHED)
    below = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return iter([path]) if is_file(path) else islice(below, _SEARCHED)


def arrays_in(paths: Iterable[Path]) -> list[Path]:
    """Returns the files and directories that could hold arrays."""
    return [path for path in paths if any(map(_could_hold_arrays, searched(path)))]


def _could_hold_arrays(file: Path) -> bool:
    return file.name in (*STORES, *RECORDS) or file.suffix in SUFFIXES


def refuse_unread(folder: Path, paths: Iterable[Path], help: str = "") -> None:
    """Refuses entries of a checkpoint that could hold arrays and that are not part of it.

    Args:
      folder: the checkpoint's directory.
      paths: the entries that would be ignored.
      help: how to open the checkpoint without them (default: to move them away).

    Raises:
      CheckpointError: there are some (`AmbiguousItem`).
    """
    found = arrays_in(paths)
    if not found:
        return
    names = [str(path.relative_to(folder)) for path in found]
    message = f"`{folder}` holds arrays that are not part of its checkpoint: {listed(names, 10)}"
    advice = help or "move them out of the directory"
    raise CheckpointError(
        AmbiguousItem.at(message, paths=names, help=f"{advice}; to see what they hold: `migrate inspect {found[0]}`")
    )
