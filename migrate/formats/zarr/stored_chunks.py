"""Which chunks of arrays are not stored in full, by indexes and the sizes of files; no chunk is read.

Each file is asked for its size once. A chunk of the right size may still be damaged: only decoding shows that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from migrate.formats.base import Defect, key_prefix
from migrate.formats.files import file_size, files_below
from migrate.formats.zarr.metadata import ArrayMetadata
from migrate.places.names import bucket_path, path_of, reaches
from migrate.tree import KeyPath

_CHUNK = re.compile(r"c|(c/)?\d+([./]\d+)*")
"""The path of a chunk below the folder of its array."""


class StoredRange(NamedTuple):
    """Where an index records a value: in the first `end` bytes of a file (a text: there is one for each value)."""

    file: str
    end: int


@dataclass(frozen=True, slots=True)
class ExpectedArray:
    """An array whose chunks are expected.

    Attributes:
      name: its parameter's name, as stored.
      metadata: its metadata.
      may_fill: whether a chunk that is not stored means zeros.
    """

    name: str
    metadata: ArrayMetadata
    may_fill: bool


class Shortfall(NamedTuple):
    """A file that is missing or too short for a chunk of an array; attributes as in `migrate.formats.base.Defect`."""

    name: str
    file: Path
    size: int | None = None
    needed: int | None = None


def in_index(
    index: Mapping[str, StoredRange | None], base: Path, arrays: Iterable[ExpectedArray]
) -> Iterator[Shortfall]:
    """Yields what the files of a database lack.

    Args:
      index: the range of every key; None for a value that the index itself holds.
      base: the directory of the database.
      arrays: the arrays that are stored in it.
    """
    expected = {array.name: array for array in arrays}
    ends: dict[str, int] = {}
    for place in index.values():
        if place is not None:
            ends[place.file] = max(place.end, ends.get(place.file, 0))
    sizes = {file: file_size(file) for file, end in ends.items() if not reaches(file, end)}
    for key, place in index.items():
        if place is not None and place.file in sizes:
            size, owner = sizes[place.file], _owner(key, expected)
            if owner is not None and (size is None or size < place.end):
                yield Shortfall(owner, path_of(place.file), size, place.end)
    for array in expected.values():
        prefix, keys = key_prefix(array.name), None if array.may_fill else array.metadata.chunk_keys()
        if keys is not None and not all(f"{prefix}{key}" in index for key in keys):
            yield Shortfall(array.name, base)


def defects(shortfalls: Iterable[Shortfall], paths: Mapping[str, KeyPath]) -> Iterator[Defect]:
    """Merges shortfalls into one defect for each file.

    Args:
      shortfalls: from `in_index` or `in_folder`.
      paths: the stored key path of each parameter.
    """
    by_file: dict[Path, list[Shortfall]] = {}
    for found in shortfalls:
        by_file.setdefault(found.file, []).append(found)
    for file, lost in by_file.items():
        needed = [found.needed for found in lost if found.needed is not None]
        leaves = dict.fromkeys(paths[found.name] for found in lost)
        yield Defect(file, tuple(leaves), lost[0].size, max(needed, default=None))


def in_folder(folder: Path, arrays: Iterable[ExpectedArray]) -> Iterator[Shortfall]:
    """Yields what the files of a folder lack in which every chunk is a file of its own."""
    for array in arrays:
        prefix, least = f"{folder}/{key_prefix(array.name)}", array.metadata.chunk_bytes
        for file in _chunk_files(prefix, array):
            size = _size(file, least)
            if size is None or size < least:
                yield Shortfall(array.name, path_of(file), size, least)
            if size is None:
                break  # of a large array most chunks may be missing


def _size(file: str, least: int) -> int | None:
    """Returns the size of the file of a chunk; of an object, whose size would be a request, only that it exists."""
    far = bucket_path(file)
    if far is None:
        return file_size(file)
    return least if far.is_file() else None


def _chunk_files(prefix: str, array: ExpectedArray) -> Iterator[str]:
    """The files of the chunks that have to exist; where that is not known, those that do exist."""
    keys = None if array.may_fill else array.metadata.chunk_keys()
    if keys is not None:
        return (f"{prefix}{key}" for key in keys)
    return (str(path) for path in files_below(path_of(prefix)) if _CHUNK.fullmatch(os.path.relpath(path, prefix)))


def _owner(key: str, names: Mapping[str, object]) -> str | None:
    """Returns the name of the array that a key belongs to; None for keys of no array of interest."""
    while key:
        key = key.rpartition("/")[0]
        if key in names:
            return key
    return None
