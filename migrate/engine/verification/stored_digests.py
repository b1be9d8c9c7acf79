"""Digests of stored arrays, computed without holding a whole array: cheap enough to check every write.

A digest covers an array's bytes in C order, so an array larger than the limit is read in consecutive slabs in that
order.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from migrate.engine.linking.open_stores import open_array, reading_context
from migrate.engine.streaming.array_bytes import Digest
from migrate.engine.verification.chunk_places import ChunkFiles, first_undecodable
from migrate.errors import CheckpointError
from migrate.formats.base import Location
from migrate.formats.files import damaged, refuse_lfs_pointers_below, short_reason
from migrate.formats.zarr.chunked_arrays import chunked_array
from migrate.formats.zarr.metadata import chunk_key
from migrate.formats.zarr.single_chunks import single_chunk
from migrate.formats.zarr.small_arrays import SmallArrays, values_of
from migrate.tree import KeyPath, format_path

Box = tuple[tuple[int, int], ...]
"""A part of an array: its start and stop in each dimension."""

GROUP = 64
"""The most arrays that a thread takes at once."""

_INDEX_CACHE_BYTES = 64 << 20
_COPIES = 4
"""Copies of a chunk in memory while it is read: encoded, decoded, in place, and memory that the allocator retains."""


@dataclass(frozen=True, slots=True)
class UndecodableArray:
    """An array that cannot be decoded.

    Attributes:
      location: the location of the array.
      index: the first chunk that cannot be decoded; None where the whole array cannot be opened.
      reason: TensorStore's reason.
    """

    location: Location
    index: tuple[int, ...] | None
    reason: str


def stored_digests(
    locations: Mapping[KeyPath, Location],
    *,
    largest_chunk: int,
    max_ram: int,
    jobs: int,
    small: Collection[KeyPath] = (),
) -> Iterator[tuple[KeyPath, Digest]]:
    """Yields the digest of each array without digests of blocks, in order; several are computed at once.

    Arguments as in `decoded_arrays`.

    Raises:
      CheckpointError: a chunk is missing or damaged; the message names the leaf, the chunk and the file.
    """
    decoded = decoded_arrays(
        locations, largest_chunk=largest_chunk, max_ram=max_ram, jobs=jobs, small=small, blocks=False
    )
    for path, found in decoded:
        if isinstance(found, UndecodableArray):
            raise undecodable(path, found, ChunkFiles())
        yield path, found


def undecodable(path: KeyPath, found: UndecodableArray, files: ChunkFiles) -> CheckpointError:
    """Returns the error for an array that cannot be decoded; it names the leaf, the chunk and its file."""
    name = format_path(path)
    if found.index is None:
        return damaged(found.location.base, f"`{name}` cannot be read ({found.reason})", paths=(name,))
    key = chunk_key(found.index, found.location.driver)
    why = f"chunk `{key}` of `{name}` cannot be decoded ({found.reason})"
    return damaged(files.file(found.location, found.index), why, paths=(name,))


def decoded_arrays(
    locations: Mapping[KeyPath, Location],
    *,
    largest_chunk: int,
    max_ram: int,
    jobs: int,
    crc: bool = True,
    blocks: bool = True,
    small: Collection[KeyPath] = (),
) -> Iterator[tuple[KeyPath, Digest | UndecodableArray]]:
    """Yields the digests of each array, or the reason why it cannot be decoded, in order; several are decoded at once.

    Args:
      locations: the locations of the arrays.
      largest_chunk: host bytes of the largest chunk of any of them, which is decoded whole.
      max_ram: host bytes in memory at once; one chunk and its encoded form always are.
      jobs: the most arrays that are read at once.
      crc: whether the digests of blocks are complete, as a record needs them; XXH3-128 alone takes less time.
      blocks: whether there are digests of blocks.
      small: the arrays of at most `SMALL_BYTES`; a thread takes several of them at once.
    """
    arrays = _StoredArrays(crc=crc, blocks=blocks)
    workers = max(1, min(jobs, len(locations), max_ram // (_COPIES * max(largest_chunk, 1))))
    share = max_ram // workers
    groups = list(grouped(locations, small, max(1, min(GROUP, len(locations) // (4 * workers)))))
    with ThreadPoolExecutor(workers, "digest") as pool:
        coming = deque(
            (group, pool.submit(arrays.digests, [locations[path] for path in group], share)) for group in groups
        )
        try:
            while coming:
                group, found = coming.popleft()
                yield from zip(group, found.result(), strict=True)
        finally:  # a caller that stops early waits for the arrays in flight, not for all of them
            pool.shutdown(cancel_futures=True)


def grouped(paths: Iterable[KeyPath], small: Collection[KeyPath], most: int) -> Iterator[list[KeyPath]]:
    """Yields the paths in order: small arrays in groups, all others alone."""
    group: list[KeyPath] = []
    for path in paths:
        if group and (path not in small or len(group) == most):
            yield group
            group = []
        if path in small:
            group.append(path)
        else:
            yield [path]
    if group:
        yield group


class _StoredArrays:
    """Opens stored arrays by their location, with one cache for the indexes of their databases; thread-safe."""

    def __init__(self, *, crc: bool = True, blocks: bool = True) -> None:
        self._new_digest = partial(Digest, crc=crc, blocks=blocks)
        self._context = reading_context(0, _INDEX_CACHE_BYTES)
        self._small: dict[Path, SmallArrays] = {}

    def open(self, location: Location) -> Any:
        """Opens an array as a TensorStore; reads only its metadata.

        Raises:
          CheckpointError: the array is missing, or its metadata is damaged.
        """
        return open_array(location, self._context)

    def digests(self, locations: Sequence[Location], max_ram: int) -> list[Digest | UndecodableArray]:
        """Returns the digests of arrays; small ones are decoded together."""
        if len(locations) > 1:
            for base in dict.fromkeys(location.base for location in locations):
                of_base = [location for location in locations if location.base == base]
                self._small_arrays(of_base[0]).read_ahead((place.name, place.driver) for place in of_base)
        return [self.digest(location, max_ram) for location in locations]

    def digest(self, location: Location, max_ram: int) -> Digest | UndecodableArray:
        """Returns the digests of the array.

        Args:
          location: the location of the array.
          max_ram: host bytes in memory at once; one chunk is decoded whole, whatever its size.
        """
        found, small = self._new_digest(), self._read_small(location)
        if small is not None:
            found.update(small)
            return found
        return self._digest_of_parts(_parts(location, max_ram)) or self._digest_of_chunks(location, max_ram)

    def _digest_of_parts(self, parts: Iterable[np.ndarray[Any, Any]] | None) -> Digest | None:
        """Returns the digests of consecutive parts of an array; None where TensorStore has to read it."""
        if parts is None:
            return None
        found = self._new_digest()
        try:
            for part in parts:
                found.update(part)
        except CheckpointError:
            return None
        return found

    def _digest_of_chunks(self, location: Location, max_ram: int) -> Digest | UndecodableArray:
        found, array = self._new_digest(), self.open(location)
        itemsize = array.dtype.numpy_dtype.itemsize
        try:
            for slab in slabs(array.shape, _chunk(array), itemsize, max(1, max_ram // 2)):
                found.update(_read(array, slab, max_ram))
        except (ValueError, OSError) as error:
            refuse_lfs_pointers_below(location.base)
            return UndecodableArray(location, first_undecodable(array), short_reason(error))
        return found

    def _read_small(self, location: Location) -> np.ndarray[Any, Any] | None:
        """Returns an array of one small chunk; None for others, and for those that have to be explained."""
        return self._small_arrays(location).read(location.name, location.driver)

    def _small_arrays(self, location: Location) -> SmallArrays:
        """Returns the reader of the small arrays of the store in which an array is stored."""
        if location.base not in self._small:
            self._small.setdefault(location.base, SmallArrays(values_of(location)))
        return self._small[location.base]


def _parts(location: Location, max_ram: int) -> Iterable[np.ndarray[Any, Any]] | None:
    """Returns consecutive parts of an array that are decoded without TensorStore; None where it has to read it."""
    chunk = single_chunk(location)
    if chunk is not None:
        return chunk.slabs()
    chunks = chunked_array(location)
    return chunks.rows() if chunks is not None and chunks.row_bytes <= max_ram // _COPIES else None


def _read(array: Any, slab: Box, max_ram: int) -> np.ndarray[Any, Any]:
    """Reads a slab; where its chunks exceed the limit together, only some are decoded at once."""
    itemsize, chunk = array.dtype.numpy_dtype.itemsize, _chunk(array)
    if _touched(slab, chunk) * itemsize <= max_ram // _COPIES:
        whole: np.ndarray[Any, Any] = array[_index(slab)].read().result()
        return whole
    share = max_ram // (4 * _COPIES)
    cell = _cell(chunk, array.shape, itemsize, share)
    return _assemble(array, slab, cell, ahead=1 if math.prod(cell) * itemsize <= share else 0)


def _assemble(array: Any, slab: Box, cell: Sequence[int], ahead: int) -> np.ndarray[Any, Any]:
    """Reads a slab cell by cell, with `ahead` more reads in flight than the one that is waited for."""
    buffer = np.empty([end - begin for begin, end in slab], array.dtype.numpy_dtype)
    origin = [begin for begin, _ in slab]
    pending = deque[tuple[Box, Any]]()
    for box in _boxes(slab, cell):
        if len(pending) > ahead:
            _place(buffer, origin, *pending.popleft())
        pending.append((box, array[_index(box)].read()))
    for box, request in pending:
        _place(buffer, origin, box, request)
    return buffer


def _chunk(array: Any) -> tuple[int, ...]:
    """Returns the shape of a chunk; a scalar has none."""
    return tuple(array.chunk_layout.read_chunk.shape or array.shape)


def _touched(slab: Box, chunk: Sequence[int]) -> int:
    """Returns the number of elements of all chunks that a slab touches."""
    sides = zip(slab, chunk, strict=True)
    return math.prod(-(-end // size) * size - begin // size * size for (begin, end), size in sides)


def _place(buffer: np.ndarray[Any, Any], origin: Sequence[int], box: Box, request: Any) -> None:
    """Waits for a read and copies its result into the buffer."""
    inside = tuple((begin - first, end - first) for (begin, end), first in zip(box, origin, strict=True))
    buffer[_index(inside)] = request.result()


def _index(box: Box) -> tuple[slice, ...]:
    return tuple(slice(begin, end) for begin, end in box)


def _cell(chunk: Sequence[int], shape: Sequence[int], itemsize: int, limit: int) -> tuple[int, ...]:
    """Returns the shape of as many whole chunks as fit the limit, at least one: requests for tiny chunks are slow."""
    cell = list(chunk)
    for axis in reversed(range(len(cell))):
        times = max(1, limit // (math.prod(cell) * itemsize))
        cell[axis] *= min(times, -(-shape[axis] // cell[axis]))
    return tuple(cell)


def _boxes(slab: Box, cell: Sequence[int]) -> Iterator[Box]:
    """Yields the parts of a slab, one for each cell of a grid that it touches."""
    sides = [
        [(max(at, begin), min(at + size, end)) for at in range(begin // size * size, end, size)]
        for (begin, end), size in zip(slab, cell, strict=True)
    ]
    yield from itertools.product(*sides)


def slabs(shape: Sequence[int], chunk: Sequence[int], itemsize: int, limit: int) -> Iterator[Box]:
    """Divides an array into slabs of at most `limit` bytes, in C order.

    Slabs end where chunks end if possible: a chunk that two slabs share is decoded twice.
    """
    if not shape or math.prod(shape) * itemsize <= limit:
        yield tuple((0, size) for size in shape)
        return
    row = math.prod(shape[1:]) * itemsize
    if row > limit:
        for i in range(shape[0]):
            yield from (((i, i + 1), *rest) for rest in slabs(shape[1:], chunk[1:], itemsize, limit))
        return
    rows = limit // row
    step = rows - rows % chunk[0] or rows
    for i in range(0, shape[0], step):
        yield ((i, min(i + step, shape[0])), *((0, size) for size in shape[1:]))
