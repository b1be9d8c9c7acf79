"""Decodes chunks that are larger than memory as streams, in the order of their elements.

TensorStore decodes a chunk whole, and Orbax stores an array that is not sharded as one chunk. So the chunk of a leaf of
many gigabytes is located here through the database's index and decompressed as a stream. TensorStore reads all arrays
that cannot be streamed: other codecs, chunks that may be absent, elements of less than a byte.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorstore as ts

from migrate import dtypes
from migrate.engine.linking.open_stores import open_database, open_folder
from migrate.engine.streaming.array_sources import ArraySource, ChunkSource
from migrate.formats.base import Location
from migrate.formats.zarr.chunk_content import ChunkContent
from migrate.formats.zarr.metadata import METADATA_KEYS, chunk_key
from migrate.formats.zarr.plain_encoding import PlainEncoding, plain_encoding
from migrate.ops.windows import Window
from migrate.tree import AbstractArray

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class StreamableArray:
    """An array in large chunks that can be decoded as streams.

    Attributes:
      aval: its shape and dtype.
      chunks: the shape of one chunk, without the trailing dimension of typed keys.
      location: where its chunks are stored.
      encoding: how its chunks are encoded.
    """

    aval: AbstractArray
    chunks: tuple[int, ...]
    location: Location
    encoding: PlainEncoding

    def block(self, limit: int) -> tuple[int, ...]:
        """The shape of the blocks that are decoded at once: whole rows of a chunk, of about `limit` bytes."""
        row = math.prod(self.chunks[1:]) * dtypes.item_bytes(self.aval.dtype)
        return (min(max(limit // row, 1), self.chunks[0]), *self.chunks[1:])

    def parts(self, limit: int) -> Iterator[tuple[Window, Array]]:
        """Decodes windows that cover the array, chunk by chunk.

        Raises:
          CheckpointError: a chunk is missing, truncated or damaged.
        """
        counts = [math.ceil(size / chunk) for size, chunk in zip(self.aval.shape, self.chunks, strict=True)]
        for index in itertools.product(*map(range, counts)):
            yield from self._chunk(index, self.block(limit)[0])

    def _chunk(self, index: tuple[int, ...], rows: int) -> Iterator[tuple[Window, Array]]:
        corner = [i * chunk for i, chunk in zip(index, self.chunks, strict=True)]
        ends = [min(c + n, size) for c, n, size in zip(corner, self.chunks, self.aval.shape, strict=True)]
        inside = tuple(slice(0, end - c) for c, end in zip(corner[1:], ends[1:], strict=True))
        dtype = dtypes.to_numpy(self.aval.dtype)
        with self._content(index) as content:
            for start in range(corner[0], corner[0] + self.chunks[0], rows):
                slab = np.empty((min(rows, corner[0] + self.chunks[0] - start), *self.chunks[1:]), dtype)
                content.fill(slab)
                stop = min(start + rows, ends[0])
                if start < stop:  # rows beyond the edge of the array are decoded as well, to be checked
                    window = (start, stop), *zip(corner[1:], ends[1:], strict=True)
                    yield window, slab[(slice(0, stop - start), *inside)]
            content.finish()

    def _content(self, index: tuple[int, ...]) -> ChunkContent:
        key = chunk_key((*index, 0) if dtypes.key_impl(self.aval.dtype) else index, self.location.driver)
        return ChunkContent(self.location, f"{self.location.prefix}{key}", self.encoding)


def streamable(source: ArraySource, limit: int) -> StreamableArray | None:
    """The source as an array that is decoded as streams; None if its chunks fit `limit` or cannot be streamed."""
    if not isinstance(source, ChunkSource) or source.location is None or source.chunk_bytes <= limit:
        return None
    aval, location = source.aval, source.location
    if not aval.shape or location.fill_missing or aval.dtype in dtypes.SUB_BYTE:
        return None
    encoding = plain_encoding(_metadata(location), location.driver)
    return StreamableArray(aval, source.chunks, location, encoding) if encoding is not None else None


def _metadata(location: Location) -> bytes:
    store = (open_database if location.ocdbt else open_folder)(location.base, ts.Context())
    content: bytes = store.read(location.prefix + METADATA_KEYS[location.driver]).result().value
    return content
