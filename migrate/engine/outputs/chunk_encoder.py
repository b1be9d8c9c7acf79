"""Encodes the chunks of arrays in memory, without TensorStore, on several threads.

TensorStore copies each chunk, and encodes it when the transaction is committed, so that the whole array has to be kept
until then. Here an array is no longer needed once its chunks are encoded.
"""

from __future__ import annotations

import itertools
import math
import struct
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import zstandard

from migrate import dtypes
from migrate.engine.outputs.small_chunks import EncodedArray, stored_metadata
from migrate.formats.zarr.crc32c import crc32c
from migrate.formats.zarr.metadata import METADATA_KEYS, Driver, chunk_key
from migrate.formats.zarr.shard_index import NEVER_WRITTEN

Array = np.ndarray[Any, Any]
Index = tuple[int, ...]

LEAST_BYTES = 4 << 10
"""Smaller chunks are left to TensorStore, which needs less time to begin one."""

_TASK_BYTES = 1 << 20
"""The bytes of chunks that a thread encodes at once: handing them over takes its time."""


class ChunkEncoder:
    """Encodes arrays in chunks that are raw or compressed with zstd; thread-safe."""

    def __init__(self, driver: Driver, threads: int) -> None:
        self._driver = driver
        self._pool = ThreadPoolExecutor(threads, "encode")

    def begin(self, array: Array, spec: Mapping[str, Any]) -> ArrayEncoding | None:
        """Begins to encode an array; None where TensorStore has to encode it.

        Args:
          array: the array, in its stored form and in C order; must stay unchanged until the result is there.
          spec: its specification, without driver and store.
        """
        form = _form_of(spec["metadata"], self._driver)
        if form is None or not array.size or dtypes.from_numpy(array.dtype) in dtypes.SUB_BYTE:
            return None
        nbytes = math.prod(form.chunk) * array.itemsize
        if nbytes < LEAST_BYTES:
            return None
        places = list(form.places(array.shape))
        count = max(1, _TASK_BYTES // nbytes)
        encode = partial(_encoded, array, form)
        tasks = (places[at : at + count] for at in range(0, len(places), count))
        return ArrayEncoding(spec, self._driver, array.shape, form, deque(self._pool.submit(encode, t) for t in tasks))

    def close(self) -> None:
        """Ends the threads; nothing more is encoded."""
        self._pool.shutdown(cancel_futures=True)


class ArrayEncoding(NamedTuple):
    """An array that threads are encoding."""

    spec: Mapping[str, Any]
    driver: Driver
    shape: Index
    form: _Form
    tasks: deque[Future[list[bytes]]]

    def result(self) -> EncodedArray:
        """Returns what the store has to hold; waits for the threads."""
        content = stored_metadata(self.spec, self.driver)
        chunks, form = self._chunks(), self.form
        stored = (
            (chunk_key(at, self.driver), _shard(chunks, form, at, self.shape) if form.shard else next(chunks))
            for at in _cells(self.shape, form.shard or form.chunk)
        )
        return EncodedArray(METADATA_KEYS[self.driver], content, tuple(stored))

    def _chunks(self) -> Iterator[bytes]:
        while self.tasks:
            yield from self.tasks.popleft().result()


class _Form(NamedTuple):
    """How an array is divided and encoded.

    Attributes:
      shard: the shape of a shard; None without shards.
      chunk: the shape of what is compressed at once.
      level: the level of zstd; None without compression.
    """

    shard: Index | None
    chunk: Index
    level: int | None

    def places(self, shape: Index) -> Iterator[Index]:
        """Yields the first element of each chunk of an array, in the order in which they are stored."""
        for at in _cells(shape, self.shard or self.chunk):
            if self.shard is None:
                yield tuple(i * edge for i, edge in zip(at, self.chunk, strict=True))
            else:
                yield from (place for place in self.places_in_shard(at) if _is_inside(place, shape))

    def places_in_shard(self, at: Index) -> Iterator[Index]:
        """Yields the first element of each inner chunk of a shard, also of those beyond the edge of the array."""
        assert self.shard is not None
        sides = (
            range(i * size, (i + 1) * size, edge) for i, size, edge in zip(at, self.shard, self.chunk, strict=True)
        )
        return itertools.product(*sides)


def _form_of(metadata: Mapping[str, Any], driver: Driver) -> _Form | None:
    """Returns the form that array metadata specify; None for other codecs than zstd."""
    if driver == "zarr2":
        codec = metadata["compressor"]
        known = codec is None or codec["id"] == "zstd"
        return _Form(None, tuple(metadata["chunks"]), codec and codec["level"]) if known else None
    shard = metadata["codecs"][0]["configuration"]
    names = [codec["name"] for codec in shard["codecs"]]
    if names not in (["bytes"], ["bytes", "zstd"]):
        return None
    level = shard["codecs"][1]["configuration"]["level"] if len(names) > 1 else None
    return _Form(tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"]), tuple(shard["chunk_shape"]), level)


def _cells(shape: Sequence[int], cell: Sequence[int]) -> Iterator[Index]:
    """Yields the indices of a grid over an array."""
    return itertools.product(*(range(-(-size // edge)) for size, edge in zip(shape, cell, strict=True)))


def _is_inside(place: Index, shape: Index) -> bool:
    return all(map(int.__lt__, place, shape))


_of_thread = threading.local()


def _compressor(level: int) -> zstandard.ZstdCompressor:
    known: dict[int, zstandard.ZstdCompressor] = _of_thread.__dict__.setdefault("compressors", {})
    if level not in known:
        known[level] = zstandard.ZstdCompressor(level)
    return known[level]


def _encoded(array: Array, form: _Form, places: Sequence[Index]) -> list[bytes]:
    """Returns the encoded chunks that begin at some places of an array."""
    return [_encode(_chunk(array, form.chunk, place), form.level) for place in places]


def _chunk(array: Array, shape: Index, place: Index) -> Array:
    """Returns a chunk in C order; beyond the edge of the array it has zeros."""
    part = array[tuple(slice(start, start + size) for start, size in zip(place, shape, strict=True))]
    if part.shape == shape and part.flags.c_contiguous:
        return part
    chunk = (np.empty if part.shape == shape else np.zeros)(shape, array.dtype)
    chunk[tuple(map(slice, part.shape))] = part
    return chunk


def _encode(chunk: Array, level: int | None) -> bytes:
    content = chunk.reshape(-1).view(np.uint8)
    return content.tobytes() if level is None else _compressor(level).compress(content.data)


def _shard(chunks: Iterator[bytes], form: _Form, at: Index, shape: Index) -> bytes:
    """Returns a shard: the next chunks, and the index of their ranges, with its checksum."""
    parts: list[bytes] = []
    ranges: list[int] = []
    end = 0
    for place in form.places_in_shard(at):
        if _is_inside(place, shape):
            parts.append(next(chunks))
            ranges += (end, len(parts[-1]))
            end += len(parts[-1])
        else:
            ranges += (NEVER_WRITTEN, NEVER_WRITTEN)
    index = struct.pack(f"<{len(ranges)}Q", *ranges)
    return b"".join((*parts, index, struct.pack("<I", crc32c(index))))
