"""Reads the stored bytes of chunks of an array, some at once: chunks that follow one another in a file by one read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from migrate.errors import CheckpointError
from migrate.formats.base import Location
from migrate.formats.files import damaged, missing, read_into, unreadable
from migrate.formats.zarr.ocdbt_format import Reference
from migrate.formats.zarr.shard_index import index_bytes, inner_chunk_ranges
from migrate.formats.zarr.small_arrays import database_of
from migrate.places.names import version_of

_Ranges = list[tuple[int, int] | None]
"""Offset and length of each inner chunk of a shard."""


def chunk_values(location: Location, keys: Sequence[str]) -> Iterator[memoryview]:
    """Yields the stored bytes of chunks; each is valid until the next one.

    Args:
      location: their array, which is stored locally.
      keys: their keys in the store.

    Raises:
      CheckpointError: one is missing, or a file ends before it or cannot be read.
    """
    for run in _runs(_places(location, keys)):
        yield from _contents(run, location.base)


def inner_chunk_values(location: Location, chunks: Sequence[tuple[str, int]], count: int) -> Iterator[memoryview]:
    """Yields the stored bytes of inner chunks of shards; each is valid until the next one.

    Args:
      location: their array, which is stored locally.
      chunks: for each, the key of its shard and its number in the shard.
      count: the number of inner chunks of a shard.

    Raises:
      CheckpointError: one is missing, its shard is damaged, or a file ends before it or cannot be read.
    """
    keys = list(dict.fromkeys(key for key, _ in chunks))
    shards = dict(zip(keys, _places(location, keys), strict=True))
    places = [_inner(location, shards[key], number, count) for key, number in chunks]
    for run in _runs(places):
        yield from _contents(run, location.base)


def _places(location: Location, keys: Sequence[str]) -> list[Reference]:
    """Returns where values are stored."""
    if not location.ocdbt:
        return [Reference(key, 0, _size(location.base / key)) for key in keys]
    known = database_of(location).references()
    places = [known.get(key) for key in keys]
    found = [place for place in places if place is not None]
    if len(found) < len(keys):
        raise missing(location.base, f"the chunk `{keys[places.index(None)]}` is missing", paths=(location.name,))
    return found


def _inner(location: Location, shard: Reference, number: int, count: int) -> Reference:
    """Returns where an inner chunk of a shard is stored."""
    if (content := shard.inline) is not None:
        start, length = _range_in_shard(location, _ranges(content, len(content), count), number)
        return Reference("", 0, length, content[start : start + length])
    file = location.base / shard.file
    ranges = _ranges_of(file, version_of(file), shard.offset, shard.length, count)
    start, length = _range_in_shard(location, ranges, number)
    return Reference(shard.file, shard.offset + start, length)


def _range_in_shard(location: Location, ranges: _Ranges | str, number: int) -> tuple[int, int]:
    found = ranges[number] if not isinstance(ranges, str) else None
    if found is None:
        why = ranges if isinstance(ranges, str) else "it has no inner chunk"
        raise damaged(location.base, f"in a shard of `{location.name}`, {why}", paths=(location.name,))
    return found


@lru_cache(maxsize=64)  # the chunks of a shard are read by several threads
def _ranges_of(file: Path, version: object, start: int, length: int, count: int) -> _Ranges | str:
    """Returns the ranges in the shard that a file has at a place; `version` is that of the file."""
    del version
    nbytes = min(index_bytes(count), length)
    return _ranges(bytes(_range(file, start + length - nbytes, nbytes)), length, count)


def _ranges(content: bytes, shard_bytes: int, count: int) -> _Ranges | str:
    """Returns the ranges that the end of a shard records, or what is wrong with it."""
    try:
        return inner_chunk_ranges(content[-index_bytes(count) :], shard_bytes, count)
    except ValueError as error:
        return str(error)


def _runs(places: Sequence[Reference]) -> Iterator[list[Reference]]:
    """Yields consecutive values, together as far as each begins where the one before it ends."""
    run: list[Reference] = []
    for place in places:
        if run and (place.file != run[-1].file or place.is_inline or place.offset != _end(run[-1])):
            yield run
            run = []
        run.append(place)
    if run:
        yield run


def _end(place: Reference) -> int:
    return place.offset + place.length


def _contents(run: Sequence[Reference], base: Path) -> Iterator[memoryview]:
    first = run[0]
    if (content := first.inline) is not None:
        yield memoryview(content)
        return
    whole = _range(base / first.file, first.offset, _end(run[-1]) - first.offset)
    for place in run:
        yield whole[place.offset - first.offset : _end(place) - first.offset]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise unreadable(file, error) from error


def _range(file: Path, start: int, length: int) -> memoryview:
    content = np.empty(length, np.uint8).data
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            filled = read_into(descriptor, content, start)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unreadable(file, error) from error
    if filled < length:
        raise _too_short(file, start + length)
    return content


def _too_short(file: Path, end: int) -> CheckpointError:
    return damaged(file, f"it ends before byte {end:,}")
