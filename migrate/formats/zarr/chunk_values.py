"""Reads the stored bytes of chunks of an array, some at once: chunks that follow one another in a file by one read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from migrate.errors import CheckpointError
from migrate.formats.base import Location
from migrate.formats.files import damaged, missing, unreadable
from migrate.formats.zarr.ocdbt_format import Reference
from migrate.formats.zarr.small_arrays import database_of


def chunk_values(location: Location, keys: Sequence[str]) -> Iterator[memoryview]:
    """Yields the stored bytes of chunks; each is valid until the next one.

    Args:
      location: their array, which is stored locally.
      keys: their keys in the store.

    Raises:
      CheckpointError: one is missing, or a file ends before it or cannot be read.
    """
    if not location.ocdbt:
        for key in keys:
            yield _file_content(location.base / key)
        return
    known = database_of(location).references()
    places = [known.get(key) for key in keys]
    found = [place for place in places if place is not None]
    if len(found) < len(keys):
        raise missing(location.base, f"the chunk `{keys[places.index(None)]}` is missing", paths=(location.name,))
    for run in _runs(found):
        yield from _contents(run, location.base)


def _runs(places: Sequence[Reference]) -> Iterator[list[Reference]]:
    """Yields consecutive values, together as far as each begins where the one before it ends."""
    run: list[Reference] = []
    for place in places:
        if run and (place.file != run[-1].file or place.inline is not None or place.offset != _end(run[-1])):
            yield run
            run = []
        run.append(place)
    if run:
        yield run


def _end(place: Reference) -> int:
    return place.offset + place.length


def _contents(run: Sequence[Reference], base: Path) -> Iterator[memoryview]:
    first = run[0]
    if first.inline is not None:
        yield memoryview(first.inline)
        return
    content = _range(base / first.file, first.offset, _end(run[-1]) - first.offset)
    for place in run:
        yield content[place.offset - first.offset : _end(place) - first.offset]


def _file_content(file: Path) -> memoryview:
    try:
        return _range(file, 0, file.stat().st_size)
    except OSError as error:
        raise unreadable(file, error) from error


def _range(file: Path, start: int, length: int) -> memoryview:
    content, filled = np.empty(length, np.uint8).data, 0
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while filled < length and (count := os.preadv(descriptor, [content[filled:]], start + filled)):
                filled += count
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unreadable(file, error) from error
    if filled < length:
        raise _too_short(file, start + length)
    return content


def _too_short(file: Path, end: int) -> CheckpointError:
    return damaged(file, f"it ends before byte {end:,}")
