"""Arrays that are read part by part: in the source, or in a scratch copy whose chunks are small.

A chunk is decoded whole, however little of it is wanted. So who wants it in an order that is not its own gets a copy in
small chunks first; then every chunk of the source is still decoded only once.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from migrate import dtypes
from migrate.engine.linking.open_stores import open_array
from migrate.engine.streaming.array_bytes import stored_form
from migrate.engine.streaming.budget import Trimmer
from migrate.engine.streaming.chunk_shapes import chunk_shape
from migrate.engine.streaming.evaluate import as_array
from migrate.formats.base import Extent, Location
from migrate.formats.files import damaged, explain_store_failure
from migrate.formats.reader import Reader
from migrate.formats.zarr.store_spec import folder_spec
from migrate.ops.windows import Window, cut, extent, windows
from migrate.tree import AbstractArray, KeyPath

Array = np.ndarray[Any, Any]

SCRATCH_CHUNK_BYTES = 1 << 20
"""Chunks of a scratch copy: small enough for any order of reading, large enough for files of their own."""


@dataclass(frozen=True, eq=False)
class Source:
    """An array of which parts can be read.

    Attributes:
      aval: its shape and dtype.
      chunks: the shape of what is decoded at once.
    """

    aval: AbstractArray
    chunks: tuple[int, ...]

    @property
    def is_at_hand(self) -> bool:
        """Whether reading a part again costs nothing."""
        return False

    def read(self, window: Window) -> Array:
        """That part of the array."""
        raise NotImplementedError

    def grid(self, window: Window) -> Window:
        """The chunks that a window touches, as a window of the grid of chunks."""
        pairs = zip(window, self.chunks, strict=True)
        return tuple((start // size, -(-stop // size)) for (start, stop), size in pairs)

    @property
    def chunk_bytes(self) -> int:
        """Host bytes of a decoded chunk."""
        return math.prod(self.chunks) * dtypes.item_bytes(self.aval.dtype)


@dataclass(frozen=True, eq=False)
class Whole(Source):
    """An array that its format can only read whole; it is read once and kept."""

    reader: Reader
    path: KeyPath

    @cached_property
    def _array(self) -> Array:
        return as_array(self.reader.read(self.path))

    @property
    def is_at_hand(self) -> bool:
        """It is kept."""
        return True

    def read(self, window: Window) -> Array:
        """That part, as a view."""
        return cut(self._array, window)


@dataclass(frozen=True, eq=False)
class Flat(Source):
    """An array whose bytes lie in a file as they are, in C order.

    Its parts are read, not mapped: what is mapped counts as memory of the process until it is unmapped.
    """

    extents: tuple[Extent, ...]

    def read(self, window: Window) -> Array:
        """That part; whatever lies together in the file is one read.

        Raises:
          CheckpointError: the file is shorter than it was.
        """
        result = np.empty(extent(window), dtypes.to_numpy(self.aval.dtype))
        content, filled = result.reshape(-1).view(np.uint8).data, 0
        with ExitStack() as files:
            opened = [files.enter_context(part.file.open("rb", buffering=0)) for part in self.extents]
            for start, nbytes in _runs(self.aval.shape, window, result.itemsize):
                self._read(opened, start, content[filled : filled + nbytes])
                filled += nbytes
        return result

    def _read(self, opened: Sequence[Any], start: int, into: memoryview) -> None:
        for file, part in zip(opened, self.extents, strict=True):
            wanted = into[: max(part.nbytes - start, 0)]
            if wanted and start < part.nbytes and os.preadv(file.fileno(), [wanted], part.offset + start) < len(wanted):
                raise damaged(part.file, "it has become shorter")
            into, start = into[len(wanted) :], max(start - part.nbytes, 0)


def _runs(shape: Sequence[int], window: Window, itemsize: int) -> Iterator[tuple[int, int]]:
    """The parts of a window that lie together: first byte and number of bytes of each, in C order."""
    cut_axes = [axis for axis, size in enumerate(shape) if window[axis] != (0, size)]
    last = cut_axes[-1] if cut_axes else 0
    strides = [math.prod(shape[axis + 1 :]) * itemsize for axis in range(len(shape))]
    length = (window[last][1] - window[last][0]) * strides[last] if shape else itemsize
    for index in itertools.product(*(range(*side) for side in window[:last])):
        start = sum(i * stride for i, stride in zip(index, strides, strict=False))
        yield start + (window[last][0] * strides[last] if shape else 0), length


def _flat_chunks(aval: AbstractArray) -> tuple[int, ...]:
    """The largest parts of at most `SCRATCH_CHUNK_BYTES` that lie together and make up a grid."""
    chunks, room = [], SCRATCH_CHUNK_BYTES // dtypes.item_bytes(aval.dtype)
    for size in reversed(aval.shape):
        chunks.append(max(1, min(size, room)))
        room = room // size if chunks[-1] == size else 0
    return tuple(reversed(chunks))


@dataclass(frozen=True, eq=False)
class Filled(Source):
    """An array whose elements are all one number; it is nowhere."""

    constant: Any

    @property
    def is_at_hand(self) -> bool:
        """There is nothing to read."""
        return True

    def read(self, window: Window) -> Array:
        """An array of that size."""
        return np.full(extent(window), self.constant, dtypes.to_numpy(self.aval.dtype))


@dataclass(frozen=True, eq=False)
class Chunked(Source):
    """An array in zarr chunks."""

    store: Any
    where: Path
    name: str
    location: Location | None = None

    def read(self, window: Window) -> Array:
        """That part; the chunks that it touches are decoded.

        Raises:
          CheckpointError: one of them is missing or damaged.
        """
        box: tuple[Any, ...] = tuple(slice(start, stop) for start, stop in window)
        try:
            stored: Array = self.store[(*box, ...)].read().result()
        except (ValueError, OSError) as error:
            explain_store_failure(error, self.where, f"the array `{self.name}`")
        if dtypes.key_impl(self.aval.dtype) is None:
            return stored
        keys = np.ascontiguousarray(stored).view(dtypes.to_numpy(self.aval.dtype))
        return keys.reshape(stored.shape[:-1])


def open_source(reader: Reader, path: KeyPath, aval: AbstractArray, context: Any) -> Source:
    """A leaf of the source.

    Args:
      reader: the source.
      path: the leaf's key path.
      aval: its shape and dtype.
      context: made by `databases.reading_context`.

    Raises:
      CheckpointError: its metadata cannot be read.
    """
    location = reader.location(path)
    if location is None:
        extents = reader.extents(path)
        if not extents or not aval.size:
            return Whole(aval, aval.shape, reader, path)
        return Flat(aval, _flat_chunks(aval), extents)
    store = open_array(location, context)
    # A number without dimensions has no shape of a chunk.
    chunks = tuple(store.chunk_layout.read_chunk.shape or ())[: len(aval.shape)]
    return Chunked(aval, chunks, store, location.base, location.name, location)


def scratch_copy(
    aval: AbstractArray, block: tuple[int, ...], parts: Iterable[tuple[Window, Array]], folder: Path
) -> Source:
    """A copy of an array in small, plain chunks.

    Args:
      aval: the array's shape and dtype.
      block: what the parts are made of: small chunks do not reach from one block into the next.
      parts: windows that cover the array, with their elements.
      folder: where; must not exist, and is the caller's to remove.
    """
    impl = dtypes.key_impl(aval.dtype)
    words = (dtypes.KEY_WORDS[impl],) if impl else ()
    chunks = chunk_shape(block, dtypes.item_bytes(aval.dtype), SCRATCH_CHUNK_BYTES, square=True)
    spec = {
        "driver": "zarr",
        "kvstore": folder_spec(folder),
        "metadata": {"shape": (*aval.shape, *words), "chunks": (*chunks, *words), "compressor": None},
        "dtype": "uint32" if impl else aval.dtype,
    }
    # It is gone with the process that made it, so nobody needs it to survive a loss of power.
    context = ts.Context({"cache_pool": {"total_bytes_limit": 0}, "file_io_sync": False})
    store = ts.open(spec, create=True, context=context).result()
    trimmer = Trimmer()
    for window, part in parts:
        box: tuple[Any, ...] = tuple(slice(start, stop) for start, stop in window)
        store[(*box, ...)].write(stored_form(part)).result()
        trimmer.worked(part.nbytes)
    return Chunked(aval, chunks, store, folder, "scratch")


def blocks(source: Source, limit: int) -> Iterator[Window]:
    """Windows that cover an array, each made of whole chunks and of at most `limit` bytes, but at least one chunk."""
    shape, block = source.aval.shape, list(source.chunks)
    for axis in reversed(range(len(shape))):
        others = math.prod(block) // block[axis] * dtypes.item_bytes(source.aval.dtype)
        count = max(limit // (others * block[axis]), 1)
        block[axis] = min(block[axis] * count, -(-shape[axis] // block[axis]) * block[axis])
    return windows(shape, block)
