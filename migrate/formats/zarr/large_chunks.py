"""Reads arrays of several large chunks, decoded without TensorStore: each chunk once, straight into its place.

TensorStore decodes a chunk into memory of its own and copies it from there. Chunks are decoded on all processors. As in
`single_chunks`, nothing is decided here about damage: what cannot be decoded this way is left to TensorStore.
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
from migrate.formats.zarr.chunk_content import ChunkContent
from migrate.formats.zarr.metadata import METADATA_KEYS, chunk_key, parse
from migrate.formats.zarr.plain_encoding import PlainEncoding, plain_chunks
from migrate.formats.zarr.small_arrays import values_of
from migrate.places.bucket_path import BucketPath

Array = np.ndarray[Any, Any]

LEAST_BYTES = 1 << 20
"""Smaller chunks are left to TensorStore, which needs less time to begin one."""

AT_ONCE_BYTES = 64 << 20
"""Larger chunks are decoded as streams, so that their encoded form is not held beside them."""


@cache
def _decoders() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, "decode")


class LargeChunks(NamedTuple):
    """The chunks of an array.

    Attributes:
      location: the location of the array.
      shape, dtype: those of the array in its stored form.
      chunks: the shape of a chunk; chunks at the edges exceed the array.
      encoding: how each chunk is encoded.
    """

    location: Location
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    encoding: PlainEncoding

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
        requests = [_decoders().submit(self._decode, part, at, first) for at in itertools.product(*map(range, counts))]
        wait(requests)
        for request in requests:
            request.result()

    def _decode(self, part: Array, at: Sequence[int], first: int) -> None:
        """Decodes a chunk; `at` is its index among those of the part."""
        place = part[tuple(slice(i * size, (i + 1) * size) for i, size in zip(at, self.chunks, strict=True))]
        is_whole = place.shape == self.chunks and place.flags.c_contiguous
        chunk = place if is_whole else np.empty(self.chunks, self.dtype)
        location = self.location
        key = f"{location.prefix}{chunk_key((first + at[0], *at[1:]), location.driver)}"
        with ChunkContent(location, key, self.encoding) as content:
            if chunk.nbytes <= AT_ONCE_BYTES:
                content.fill_at_once(chunk)
            else:
                content.fill(chunk)
                content.finish()
        if not is_whole:
            place[...] = chunk[tuple(map(slice, place.shape))]


def large_chunks(location: Location) -> LargeChunks | None:
    """Returns the chunks of an array; None where there is only one, they are small, or cannot be decoded here."""
    if isinstance(location.base, BucketPath):
        return None
    content = values_of(location).get(f"{location.prefix}{METADATA_KEYS[location.driver]}")
    encoded = plain_chunks(content, location.driver) if content is not None else None
    if content is None or encoded is None or encoded.nbytes < LEAST_BYTES:
        return None
    metadata = parse(content, location.driver)
    shape, chunks = metadata.aval.shape, metadata.chunks
    if not metadata.aval.size or len(shape) != len(chunks) or all(map(int.__ge__, chunks, shape)):
        return None
    return LargeChunks(location, shape, encoded.dtype, chunks, encoded.encoding)
