"""Where chunks of stored arrays are on disk, so that a message names the chunk and the file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from migrate.errors import CheckpointError
from migrate.formats.base import Location
from migrate.formats.zarr.key_places import MANIFEST
from migrate.formats.zarr.metadata import chunk_key
from migrate.formats.zarr.references import files_of_keys

Index = tuple[int, ...]
"""The position of a chunk in the grid of its array."""

MOST_CHUNKS = 64
"""The most chunks that are looked up for one block."""


class ChunkFiles:
    """Finds the files of chunks; reads the index of each database once."""

    def __init__(self) -> None:
        self._indexes: dict[Path, Mapping[str, str]] = {}

    def file(self, location: Location, index: Index) -> Path:
        """Returns the file that holds a chunk; the directory of the array's database where the index does not tell."""
        key = f"{location.prefix}{chunk_key(index, location.driver)}"
        if not location.ocdbt:
            return location.base / key
        return location.base / self._index(location.base).get(key, MANIFEST)

    def _index(self, base: Path) -> Mapping[str, str]:
        if base not in self._indexes:
            try:
                self._indexes[base] = files_of_keys(base)
            except CheckpointError:  # the array itself could be opened: only the file's name is lost
                self._indexes[base] = {}
        return self._indexes[base]


def chunk_shape(array: Any) -> tuple[int, ...]:
    """Returns the shape of the chunks that have keys: a chunk of zarr 2, or a shard of zarr 3."""
    return tuple(array.chunk_layout.write_chunk.shape or array.shape)


def first_undecodable(array: Any) -> Index | None:
    """Returns the first chunk of an array that cannot be read; None where all can be."""
    chunk = chunk_shape(array)
    for index in _grid(array.shape, chunk):
        box = tuple(
            slice(at * size, min((at + 1) * size, length))
            for at, size, length in zip(index, chunk, array.shape, strict=True)
        )
        try:
            array[box].read().result()
        except (ValueError, OSError):
            return index
    return None


def chunks_of_block(shape: Sequence[int], chunk: Sequence[int], itemsize: int, block: range) -> tuple[Index, ...]:
    """Returns the chunks that hold a range of the bytes of an array in C order; at most `MOST_CHUNKS`.

    Args:
      shape: the shape of the array.
      chunk: the shape of a chunk.
      itemsize: bytes of one element.
      block: the range.
    """
    if not shape:
        return ((),)
    first, last = (np.unravel_index(at // itemsize, tuple(shape)) for at in (block.start, block.stop - 1))
    sides, free = [], False
    for low, high, size, length in zip(first, last, chunk, shape, strict=True):
        sides.append(range(-(-length // size)) if free else range(int(low) // size, int(high) // size + 1))
        free = free or low != high
    return tuple(itertools.islice(itertools.product(*sides), MOST_CHUNKS))


def _grid(shape: Sequence[int], chunk: Sequence[int]) -> Iterator[Index]:
    yield from itertools.product(*(range(-(-length // size)) for length, size in zip(shape, chunk, strict=True)))
