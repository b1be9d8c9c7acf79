"""Reads arrays of several chunks, decoded without TensorStore: each chunk once, large ones straight into their places.

TensorStore decodes a chunk into memory of its own and copies it from there, and looks for each in the index of its
database. Chunks are decoded on all processors, and small ones are read and decoded some at once. As in `single_chunks`,
nothing is decided here about damage: what cannot be decoded this way is left to TensorStore.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from migrate.errors import CheckpointError
from migrate.formats.base import Location
from migrate.formats.files import damaged
from migrate.formats.zarr.chunk_content import ChunkContent
from migrate.formats.zarr.chunk_values import chunk_values, inner_chunk_values
from migrate.formats.zarr.metadata import METADATA_KEYS, chunk_key, parse
from migrate.formats.zarr.plain_encoding import PlainChunks, inner_chunks, plain_chunks
from migrate.formats.zarr.small_arrays import values_of
from migrate.places.bucket_path import BucketPath

Array = np.ndarray[Any, Any]

LEAST_BYTES = 4 << 10
"""Smaller chunks are left to TensorStore, which needs less time to begin one."""

_TASK_BYTES = 1 << 20
"""The bytes of chunks that a thread decodes at once: handing them over takes its time."""

AT_ONCE_BYTES = 64 << 20
"""Larger chunks are decoded as streams, so that their encoded form is not held beside them."""


@cache
def _decoders() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, "decode")


class ChunkedArray(NamedTuple):
    """An array of several chunks.

    Attributes:
      location: the location of the array.
      shape, dtype: those of the array in its stored form.
      chunks: the shape of a chunk; chunks at the edges exceed the array.
      encoded: how each chunk is encoded.
      shard: the shape of the shards whose inner chunks they are; None without shards of several.
    """

    location: Location
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    encoded: PlainChunks
    shard: tuple[int, ...] | None = None

    @property
    def row_bytes(self) -> int:
        """The bytes of a row of chunks: all of those along the dimensions after the first."""
        return self.chunks[0] * math.prod(self.shape[1:]) * self.dtype.itemsize

    def read(self) -> Array | None:
        """Returns the array; None if it cannot be decoded here."""
        try:
            array = np.empty(self.shape, self.dtype)
            self._fill(array, 0)
        except (CheckpointError, MemoryError):
            return None
        return array

    def rows(self) -> Iterator[Array]:
        """Yields rows of chunks in C order, which share their memory: each is valid until the next one.

        Raises:
          CheckpointError: a chunk is missing or damaged; rows may have been yielded before.
        """
        buffer = np.empty((min(self.chunks[0], self.shape[0]), *self.shape[1:]), self.dtype)
        for start in range(0, self.shape[0], self.chunks[0]):
            row = buffer[: self.shape[0] - start]
            self._fill(row, start // self.chunks[0])
            yield row

    def _fill(self, part: Array, first: int) -> None:
        """Decodes consecutive rows of chunks, beginning with row number `first`.

        Raises:
          CheckpointError: a chunk is missing or damaged.
        """
        counts = [-(-size // chunk) for size, chunk in zip(part.shape, self.chunks, strict=True)]
        every, count = list(itertools.product(*map(range, counts))), max(1, _TASK_BYTES // self.encoded.nbytes)
        tasks = (every[at : at + count] for at in range(0, len(every), count))
        decode = self._decode_some if count > 1 or self.shard else self._decode
        requests = [_decoders().submit(decode, part, task, first) for task in tasks]
        wait(requests)
        for request in requests:
            request.result()

    def _key(self, at: Sequence[int]) -> str:
        return f"{self.location.prefix}{chunk_key(at, self.location.driver)}"

    def _values(self, indices: Sequence[Sequence[int]]) -> Iterator[memoryview]:
        """Yields the stored bytes of chunks."""
        if self.shard is None:
            return chunk_values(self.location, [self._key(at) for at in indices])
        inside = tuple(map(int.__floordiv__, self.shard, self.chunks))
        chunks = []
        for at in indices:
            shard, inner = zip(*map(divmod, at, inside), strict=True)
            chunks.append((self._key(shard), _number(inner, inside)))
        return inner_chunk_values(self.location, chunks, math.prod(inside))

    def _place(self, part: Array, at: Sequence[int]) -> Array:
        """Returns the part of an array that a chunk fills; `at` is its index among those of the array."""
        return part[tuple(slice(i * size, (i + 1) * size) for i, size in zip(at, self.chunks, strict=True))]

    def _decode_some(self, part: Array, indices: Sequence[Sequence[int]], first: int) -> None:
        """Decodes small chunks, which are in memory twice."""
        values = self._values([(first + at[0], *at[1:]) for at in indices])
        for at, value in zip(indices, values, strict=True):
            chunk, place = self.encoded.decode(value), self._place(part, at)
            if chunk is None:
                raise damaged(self.location.base, f"a chunk of `{self.location.name}` cannot be decoded")
            place[...] = chunk.reshape(self.chunks)[tuple(map(slice, place.shape))]

    def _decode(self, part: Array, indices: Sequence[Sequence[int]], first: int) -> None:
        """Decodes one large chunk."""
        (at,) = indices
        place = self._place(part, at)
        is_whole = place.shape == self.chunks and place.flags.c_contiguous
        chunk = place if is_whole else np.empty(self.chunks, self.dtype)
        with ChunkContent(self.location, self._key((first + at[0], *at[1:])), self.encoded.encoding) as content:
            if chunk.nbytes <= AT_ONCE_BYTES:
                content.fill_at_once(chunk)
            else:
                content.fill(chunk)
                content.finish()
        if not is_whole:
            place[...] = chunk[tuple(map(slice, place.shape))]


def _number(index: Sequence[int], shape: Sequence[int]) -> int:
    """Returns the number of a cell of a grid, in C order."""
    number = 0
    for at, size in zip(index, shape, strict=True):
        number = number * size + at
    return number


def chunked_array(location: Location) -> ChunkedArray | None:
    """Returns an array of several chunks; None for one of a single chunk or of tiny ones, or of another encoding."""
    if isinstance(location.base, BucketPath):
        return None
    content = values_of(location).get(f"{location.prefix}{METADATA_KEYS[location.driver]}")
    if content is None:
        return None
    encoded = plain_chunks(content, location.driver)
    inner = inner_chunks(content, location.driver) if encoded is None else None
    chosen = encoded or inner
    if chosen is None or chosen.nbytes < LEAST_BYTES or (inner is not None and inner.nbytes > AT_ONCE_BYTES):
        return None
    metadata = parse(content, location.driver)
    shape, shard = metadata.aval.shape, metadata.chunks if inner is not None else None
    chunks = metadata.inner if inner is not None and metadata.inner is not None else metadata.chunks
    if not metadata.aval.size or len(shape) != len(chunks) or all(map(int.__ge__, chunks, shape)):
        return None
    return ChunkedArray(location, shape, chosen.dtype, chunks, chosen, shard)
