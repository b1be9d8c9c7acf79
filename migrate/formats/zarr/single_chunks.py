"""Reads arrays that are one chunk, decoded without TensorStore: straight into the array, or in slabs.

TensorStore decodes a chunk into memory of its own and copies it from there, so that it takes twice as long. Nothing is
decided here about damage: an array that cannot be read this way is left to TensorStore, whose error names the cause.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
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

SLAB_BYTES = 1 << 20
"""The bytes of a slab, which stays in the processor's cache while it is used."""


class SingleChunk(NamedTuple):
    """The only chunk of an array; the array has its shape.

    Attributes:
      location: the location of the array.
      shape, dtype: those of the array in its stored form.
      encoding: how the chunk is encoded.
    """

    location: Location
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    encoding: PlainEncoding

    def read(self) -> Array | None:
        """Returns the array; None if it cannot be decoded here."""
        try:
            array = np.empty(self.shape, self.dtype)
            with self._content() as content:
                content.fill(array)
                content.finish()
        except (CheckpointError, MemoryError):
            return None
        return array

    def slabs(self, unit: int = 1, nbytes: int = SLAB_BYTES) -> Iterator[Array]:
        """Yields the elements in C order, in slabs that share their memory: each is valid until the next one.

        Args:
          unit: a number of elements that divides the size of the array, and of which each slab is a multiple; at most
            `nbytes`.
          nbytes: the most bytes of a slab.

        Raises:
          CheckpointError: the chunk is missing or damaged; slabs may have been yielded before.
        """
        size = math.prod(self.shape)
        buffer = np.empty(min(size, nbytes // self.dtype.itemsize // unit * unit), self.dtype)
        with self._content() as content:
            for start in range(0, size, buffer.size):
                slab = buffer[: size - start]
                content.fill(slab)
                yield slab
            content.finish()

    def _content(self) -> ChunkContent:
        place = self.location
        return ChunkContent(place, f"{place.prefix}{chunk_key((0,) * len(self.shape), place.driver)}", self.encoding)


def single_chunk(location: Location) -> SingleChunk | None:
    """Returns the only chunk of an array; None where there are several or none, or it cannot be decoded here."""
    if isinstance(location.base, BucketPath):
        return None
    content = values_of(location).get(f"{location.prefix}{METADATA_KEYS[location.driver]}")
    chunks = plain_chunks(content, location.driver) if content is not None else None
    if content is None or chunks is None:
        return None
    metadata = parse(content, location.driver)
    if not metadata.aval.size or metadata.chunks != metadata.aval.shape:
        return None
    return SingleChunk(location, metadata.aval.shape, chunks.dtype, chunks.encoding)
