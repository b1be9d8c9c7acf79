"""Arrays that are read window by window: from the source, or from a scratch copy with small chunks.

A chunk is always decoded whole. So an array that is read in an order unlike that of its chunks is first copied into
small chunks; every chunk of the source is then decoded only once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
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
from migrate.engine.streaming.evaluate import as_array
from migrate.engine.streaming.flat_bytes import FlatBytes
from migrate.formats.base import Extent, Location
from migrate.formats.files import explain_store_failure
from migrate.formats.reader import Reader
from migrate.formats.zarr.store_spec import folder_spec
from migrate.ops.windows import Window, cut, extent, windows
from migrate.planning.chunking.chunk_shapes import chunk_shape
from migrate.tree import AbstractArray, KeyPath

Array = np.ndarray[Any, Any]

SCRATCH_CHUNK_BYTES = 1 << 20
_LEAST_SCRATCH_BYTES = 256 << 10
"""The most and the fewest bytes of a chunk of a scratch copy: each is a file, which is read whole."""


@dataclass(frozen=True, eq=False)
class ArraySource:
    """An array that is read window by window.

    Attributes:
      aval: its shape and dtype.
      chunks: the shape of one chunk, which is decoded at once.
    """

    aval: AbstractArray
    chunks: tuple[int, ...]

    @property
    def is_free_to_reread(self) -> bool:
        """Whether reading a window a second time costs nothing."""
        return False

    def read(self, window: Window) -> Array:
        """Reads a window of the array."""
        raise NotImplementedError

    def grid(self, window: Window) -> Window:
        """The chunks that overlap a window, as a window of the chunk grid."""
        pairs = zip(window, self.chunks, strict=True)
        return tuple((start // size, -(-stop // size)) for (start, stop), size in pairs)

    @property
    def chunk_bytes(self) -> int:
        """Host bytes of a decoded chunk."""
        return math.prod(self.chunks) * dtypes.item_bytes(self.aval.dtype)


@dataclass(frozen=True, eq=False)
class WholeSource(ArraySource):
    """An array that its format can only read whole; it is read once and kept in memory."""

    reader: Reader
    path: KeyPath

    @cached_property
    def _array(self) -> Array:
        return as_array(self.reader.read(self.path))

    @property
    def is_free_to_reread(self) -> bool:
        """Yes: the array is in memory."""
        return True

    def read(self, window: Window) -> Array:
        """Returns the window as a view."""
        return cut(self._array, window)


@dataclass(frozen=True, eq=False)
class FlatSource(ArraySource):
    """An array whose bytes are stored unencoded, in C order, in ranges of files."""

    extents: tuple[Extent, ...]

    def read(self, window: Window) -> Array:
        """Reads a window, with one read for each contiguous run of bytes.

        Raises:
          CheckpointError: the file has become shorter or cannot be read.
        """
        result = np.empty(extent(window), dtypes.to_numpy(self.aval.dtype))
        content, filled = result.reshape(-1).view(np.uint8).data, 0
        with FlatBytes(self.extents) as stored:
            for start, nbytes in _contiguous_runs(self.aval.shape, window, result.itemsize):
                stored.read_into(start, content[filled : filled + nbytes])
                filled += nbytes
        return result


def _contiguous_runs(shape: Sequence[int], window: Window, itemsize: int) -> Iterator[tuple[int, int]]:
    """The contiguous runs of bytes of a window, in C order: first byte and length of each."""
    cut_axes = [axis for axis, size in enumerate(shape) if window[axis] != (0, size)]
    last = cut_axes[-1] if cut_axes else 0
    strides = [math.prod(shape[axis + 1 :]) * itemsize for axis in range(len(shape))]
    length = (window[last][1] - window[last][0]) * strides[last] if shape else itemsize
    for index in itertools.product(*(range(*side) for side in window[:last])):
        start = sum(i * stride for i, stride in zip(index, strides, strict=False))
        yield start + (window[last][0] * strides[last] if shape else 0), length


def contiguous_chunks(shape: Sequence[int], itemsize: int, limit: int) -> tuple[int, ...]:
    """The largest chunk shape of at most `limit` bytes whose chunks are contiguous, follow one another and form a grid.

    Args:
      shape: the shape of the array in C order.
      itemsize: bytes of an element.
      limit: the bytes; a chunk has at least one element.
    """
    chunks, room = [], limit // itemsize
    for size in reversed(shape):
        chunks.append(max(1, min(size, room)))
        room = room // size if chunks[-1] == size else 0
    return tuple(reversed(chunks))


@dataclass(frozen=True, eq=False)
class FilledSource(ArraySource):
    """An array whose elements all equal one number; it is not stored."""

    constant: Any

    @property
    def is_free_to_reread(self) -> bool:
        """Yes: nothing is read."""
        return True

    def read(self, window: Window) -> Array:
        """Returns a filled array of the window's shape."""
        return np.full(extent(window), self.constant, dtypes.to_numpy(self.aval.dtype))


@dataclass(frozen=True, eq=False)
class ChunkSource(ArraySource):
    """An array in zarr chunks.

    Attributes:
      store: the opened TensorStore.
      directory: the directory that error messages name.
      name: the array's name.
      location: where the source stores it; None for a scratch copy.
    """

    store: Any
    directory: Path
    name: str
    location: Location | None = None

    def read(self, window: Window) -> Array:
        """Reads a window; decodes the chunks that overlap it.

        Raises:
          CheckpointError: a chunk is missing or damaged.
        """
        box: tuple[Any, ...] = tuple(slice(start, stop) for start, stop in window)
        try:
            stored: Array = self.store[(*box, ...)].read().result()
        except (ValueError, OSError) as error:
            explain_store_failure(error, self.directory, f"the array `{self.name}`")
        if dtypes.key_impl(self.aval.dtype) is None:
            return stored
        keys = np.ascontiguousarray(stored).view(dtypes.to_numpy(self.aval.dtype))
        return keys.reshape(stored.shape[:-1])


def open_source(reader: Reader, path: KeyPath, aval: AbstractArray, context: Any) -> ArraySource:
    """Opens a leaf of the source.

    Args:
      reader: the source.
      path: the leaf's key path.
      aval: its shape and dtype.
      context: from `reading_context`.

    Raises:
      CheckpointError: its metadata cannot be read.
    """
    location = reader.location(path)
    if location is None:
        extents = reader.extents(path)
        if not extents or not aval.size:
            return WholeSource(aval, aval.shape, reader, path)
        chunks = contiguous_chunks(aval.shape, dtypes.item_bytes(aval.dtype), SCRATCH_CHUNK_BYTES)
        return FlatSource(aval, chunks, extents)
    store = open_array(location, context)
    # A 0-d array has no chunk shape.
    chunks = tuple(store.chunk_layout.read_chunk.shape or ())[: len(aval.shape)]
    return ChunkSource(aval, chunks, store, location.base, location.name, location)


def scratch_copy(
    aval: AbstractArray, chunks: tuple[int, ...], parts: Iterable[tuple[Window, Array]], folder: Path, trimmer: Trimmer
) -> ArraySource:
    """Writes a copy of an array in small, uncompressed chunks.

    Args:
      aval: the array's shape and dtype.
      chunks: the shape of a chunk, from `scratch_chunks`.
      parts: windows that cover the array, with their elements.
      folder: the new directory of the copy; the caller removes it.
      trimmer: counts the parts that were written.
    """
    impl = dtypes.key_impl(aval.dtype)
    words = (dtypes.KEY_WORDS[impl],) if impl else ()
    spec = {
        "driver": "zarr",
        "kvstore": folder_spec(folder),
        "metadata": {"shape": (*aval.shape, *words), "chunks": (*chunks, *words), "compressor": None},
        "dtype": "uint32" if impl else aval.dtype,
    }
    # The copy is discarded with its process, so it need not survive a loss of power.
    context = ts.Context({"cache_pool": {"total_bytes_limit": 0}, "file_io_sync": False})
    store = ts.open(spec, create=True, context=context).result()
    for window, part in parts:
        box: tuple[Any, ...] = tuple(slice(start, stop) for start, stop in window)
        store[(*box, ...)].write(stored_form(part)).result()
        trimmer.add(part.nbytes)
    return ChunkSource(aval, chunks, store, folder, "scratch")


def scratch_chunks(aval: AbstractArray, block: Sequence[int], read: Sequence[int]) -> tuple[int, ...]:
    """Returns the shape of the chunks of a scratch copy.

    Args:
      aval: the array's shape and dtype.
      block: the shape of the blocks in which the array is written; no chunk spans two of them.
      read: the shape of the windows that are read. Chunks are no larger, unless they would be too small for files.
    """
    sides = zip(aval.shape, block, read, strict=True)
    chunks = [min(part, size) if side >= size else side for size, side, part in sides]
    itemsize = dtypes.item_bytes(aval.dtype)
    for axis in reversed(range(len(chunks))):
        if block[axis] >= aval.shape[axis]:
            times = max(_LEAST_SCRATCH_BYTES // (math.prod(chunks) * itemsize), 1)
            chunks[axis] = min(chunks[axis] * times, aval.shape[axis])
    return chunk_shape(tuple(chunks), itemsize, SCRATCH_CHUNK_BYTES, square=True)


def blocks(source: ArraySource, limit: int) -> Iterator[Window]:
    """Windows that cover an array: whole chunks of at most `limit` bytes together, but at least one chunk."""
    return windows(source.aval.shape, block_shape(source, limit))


def block_shape(source: ArraySource, limit: int) -> tuple[int, ...]:
    """Returns the shape of the windows that `blocks` yields."""
    shape, block = source.aval.shape, list(source.chunks)
    for axis in reversed(range(len(shape))):
        others = math.prod(block) // block[axis] * dtypes.item_bytes(source.aval.dtype)
        count = max(limit // (others * block[axis]), 1)
        block[axis] = min(block[axis] * count, -(-shape[axis] // block[axis]) * block[axis])
    return tuple(block)
