"""Linked arrays whose chunks are decoded into the buffers of the devices, without TensorStore.

The index of the database, which the open checkpoint has read, names the bytes of each chunk. A small chunk is decoded
at once, which takes less time than TensorStore needs to find it. A larger one is decoded in slabs that stay in the
processor's cache until they are copied, so that a chunk of any size needs little memory.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from migrate.codes import InternalError
from migrate.engine.linking.link import Link
from migrate.engine.loading.decoded_links import DecodedLink
from migrate.engine.loading.host_buffers import aligned
from migrate.engine.loading.store_reads import HostValue
from migrate.engine.streaming.array_sources import contiguous_chunks
from migrate.errors import MigrateError
from migrate.formats.base import Location
from migrate.formats.zarr.chunk_content import ChunkContent
from migrate.formats.zarr.plain_encoding import PlainChunks, plain_chunks
from migrate.formats.zarr.small_arrays import SMALL_BYTES, DatabaseValues, values_of
from migrate.ops.windows import Window, extent, whole, windows
from migrate.places.bucket_path import BucketPath
from migrate.tree import KeyPath, format_path

Array = np.ndarray[Any, Any]

SLAB_BYTES = 1 << 20
"""The most bytes of a chunk that are decoded at once."""

GROUP_BYTES = 4 << 20
"""Chunks of fewer bytes together are decoded in one thread: with threads, each short call waits for Python's lock."""

_Chunk = tuple[Location, str, tuple[int, ...]]
"""The location of a source, the key of a chunk there, and its position in the grid of the target."""


class ChunkReads:
    """Linked arrays whose chunks can be decoded without TensorStore.

    Attributes:
      links: the arrays, by target key path.
    """

    def __init__(self, links: Iterable[DecodedLink]) -> None:
        """Takes those of the arrays that can be decoded."""
        found = [(one, _chunks_of(one.link)) for one in links]
        self._chunks = {one.link.path: chunks for one, chunks in found if chunks is not None}
        self.links = {one.link.path: one for one, chunks in found if chunks is not None}

    def begin(self, pool: Executor, path: KeyPath, windows: Sequence[Window]) -> WindowReads:
        """Begins to read windows of an array, each chunk of which is decoded once.

        Args:
          pool: runs what takes long.
          path: the array.
          windows: the windows, which are cut along common lines as those of a sharding are.
        """
        one, chunks = self.links[path], self._chunks[path]
        filled = _FilledWindows(tuple(windows), one)
        groups = list(_groups(one.link.chunk_moves(), GROUP_BYTES // chunks.nbytes))
        reads = [partial(_read, group, chunks, filled) for group in groups]
        if len(reads) == 1 and chunks.nbytes <= SMALL_BYTES:
            return WindowReads(path, filled, [_done(reads[0]())])
        return WindowReads(path, filled, [pool.submit(read) for read in reads])


@dataclass(frozen=True)
class WindowReads:
    """Windows of an array that are being read."""

    path: KeyPath
    filled: _FilledWindows
    reads: Sequence[Future[int]]

    def done(self) -> bool:
        """Whether every read has ended."""
        return all(read.done() for read in self.reads)

    def result(self) -> list[HostValue]:
        """Returns the windows.

        Raises:
          CheckpointError: a chunk is missing or damaged.
          RefusedError: a value does not allow an op (`LossyCast`).
          MigrateError: elements belong to no chunk, which is a bug (`InternalError`).
        """
        if sum([read.result() for read in self.reads]) != self.filled.size:
            raise MigrateError(InternalError.at(f"the chunks of `{format_path(self.path)}` do not cover it"))
        return [HostValue(self.path, window, buffer) for window, buffer in self.filled.pairs()]


def _chunks_of(link: Link) -> PlainChunks | None:
    if any(isinstance(place.base, BucketPath) for place in link.locations):
        return None  # TensorStore requests many chunks at once
    first = link.locations[0]
    content = values_of(first).get(f"{first.prefix}{link.metadata_key}")
    return plain_chunks(content, first.driver) if content is not None else None


def _groups(chunks: Iterator[_Chunk], count: int) -> Iterator[list[_Chunk]]:
    while group := list(itertools.islice(chunks, max(count, 1))):
        yield group


def _done(copied: int) -> Future[int]:
    future: Future[int] = Future()
    future.set_result(copied)
    return future


def _read(group: Sequence[_Chunk], chunks: PlainChunks, filled: _FilledWindows) -> int:
    """Decodes chunks into the windows that they overlap; returns the number of elements that were copied.

    Raises:
      CheckpointError: a chunk is missing or damaged.
    """
    copied, is_small = 0, chunks.nbytes <= SMALL_BYTES
    with _ChunkFiles(place for place, _, _ in group) as files:
        for place, key, index in group:
            encoded = files.read(place, key) if is_small else None
            elements = chunks.decode(encoded) if encoded is not None else None
            if elements is not None:
                copied += filled.add(index, elements)
            else:
                copied += _read_in_slabs(ChunkContent(place, key, chunks.encoding), chunks.dtype, index, filled)
    return copied


_of_thread = threading.local()


def _read_in_slabs(chunk: ChunkContent, dtype: np.dtype[Any], index: tuple[int, ...], filled: _FilledWindows) -> int:
    copied = 0
    with chunk:
        for part in windows(filled.chunks, contiguous_chunks(filled.chunks, dtype.itemsize, SLAB_BYTES)):
            slab = _scratch(extent(part), dtype)
            chunk.fill(slab)
            copied += filled.add(index, slab, part)
        chunk.finish()
    return copied


def _scratch(shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """Returns an array of at most `SLAB_BYTES` that this thread may write to until it asks for the next one."""
    if not hasattr(_of_thread, "scratch"):
        _of_thread.scratch = np.empty(SLAB_BYTES, np.uint8)
    scratch: Array = _of_thread.scratch
    return scratch[: math.prod(shape) * dtype.itemsize].view(dtype).reshape(tuple(shape))


class _FilledWindows:
    """Aligned buffers of windows that chunks are copied into.

    Attributes:
      chunks: the shape of a chunk.
      size: the number of elements of all windows.
    """

    def __init__(self, windows: tuple[Window, ...], array: DecodedLink) -> None:
        self.chunks = array.link.grid.chunks
        self._array, self._windows, self._whole = array, windows, whole(self.chunks)
        self._buffers = [aligned(extent(window), array.dtype) for window in windows]
        self._overlaps = _overlaps(windows, self.chunks)
        self.size = sum(buffer.size for buffer in self._buffers)

    def pairs(self) -> Iterator[tuple[Window, Array]]:
        """Yields each window with its buffer."""
        yield from zip(self._windows, self._buffers, strict=True)

    def add(self, index: tuple[int, ...], elements: Array, part: Window | None = None) -> int:
        """Copies elements of a chunk into the windows that they overlap; returns their number.

        Args:
          index: the position of the chunk in the grid of the array.
          elements: the elements, in C order.
          part: which part of the chunk they are (default: all of it).
        """
        copied, found = 0, elements.reshape(self.chunks) if part is None else elements
        for number, inside, outside, size in self._overlaps.at(index, part or self._whole):
            values = found[outside]
            if self._array.ops:
                lows = [low + cut.start for (low, _), cut in zip(self._windows[number], inside[:-1], strict=True)]
                values = self._array.converted(values, tuple(lows))
            self._buffers[number][inside] = values
            copied += size
        return copied


_Cut = tuple[tuple[int, int], slice, slice]
"""One side of a window; the part of it that a chunk covers, as indices of the window and of the chunk."""

_Index = tuple[Any, ...]
_Overlap = tuple[int, _Index, _Index, int]
"""The number of a window; what it has in common with a part of a chunk, as indices of both; the size of that."""


_MOST_KNOWN = 4096
"""The most overlaps that are kept for the next array."""


class _Overlaps:
    """The elements that windows and chunks have in common; many arrays of a model have equal ones."""

    def __init__(self, windows: tuple[Window, ...], chunks: tuple[int, ...]) -> None:
        self._chunks = chunks
        self._numbers = {window: number for number, window in enumerate(windows)}
        self._sides = [sorted({window[axis] for window in windows}) for axis in range(len(chunks))]
        self._known: dict[tuple[tuple[int, ...], Window], list[_Overlap]] = {}

    def at(self, index: tuple[int, ...], part: Window) -> Sequence[_Overlap]:
        """Returns the overlap of a part of a chunk with each window."""
        known = self._known.get((index, part))
        if known is None:
            known = list(self._find(index, part))
            if len(self._known) < _MOST_KNOWN:
                self._known[index, part] = known
        return known

    def _find(self, index: tuple[int, ...], part: Window) -> Iterator[_Overlap]:
        starts = [at * thick + low for at, thick, (low, _) in zip(index, self._chunks, part, strict=True)]
        cuts = [_cuts(*side) for side in zip(self._sides, starts, extent(part), strict=True)]
        for sides in itertools.product(*cuts):
            number = self._numbers.get(tuple(side for side, _, _ in sides))
            if number is not None:
                inside, outside = (*(cut[1] for cut in sides), ...), tuple(cut[2] for cut in sides)
                yield number, inside, outside, math.prod(cut.stop - cut.start for cut in outside)


_overlaps = lru_cache(maxsize=16)(_Overlaps)


def _cuts(sides: Iterable[tuple[int, int]], start: int, count: int) -> Iterator[_Cut]:
    for side in sides:
        low, high = max(side[0], start), min(side[1], start + count)
        if low < high:
            yield side, slice(low - side[0], high - side[0]), slice(low - start, high - start)


class _ChunkFiles:
    """The stored chunks of arrays; a context manager, which closes the files."""

    def __init__(self, locations: Iterable[Location]) -> None:
        places = {place.base: place for place in locations}
        self._values = {base: values_of(place) for base, place in places.items()}
        self._indexes = {b: v.references() for b, v in self._values.items() if isinstance(v, DatabaseValues)}
        self._opened: dict[tuple[Path, str], int] = {}

    def __enter__(self) -> _ChunkFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in self._opened.values():
            os.close(descriptor)

    def read(self, place: Location, key: str) -> bytes | None:
        """Returns a stored chunk; None if it is missing or cannot be read."""
        base = place.base
        if not place.ocdbt:
            return self._values[base].get(key)
        found = self._indexes[base].get(key)
        if found is None or found.is_inline:
            return found and found.inline
        opened = self._opened.get((base, found.file))
        content = os.pread(opened or self._open(base, found.file), found.length, found.offset)
        return content if len(content) == found.length else None

    def _open(self, base: Path, name: str) -> int:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe would block
        return self._opened.setdefault((base, name), os.open(f"{base}/{name}", flags))
