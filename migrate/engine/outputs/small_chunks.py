"""Encodes arrays of one small chunk in memory, so that a database receives them as plain values.

TensorStore opens an array in a database in a time that grows with the database, and a checkpoint may have many small
arrays. So one array in memory encodes all arrays of equal metadata, some at once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorstore as ts

from migrate.formats.zarr.metadata import METADATA_KEYS, TENSORSTORE_DRIVERS, Driver, chunk_key

SMALL_BYTES = 256 << 10
"""The largest array that is encoded this way: the chunks of larger ones are encoded on all cores."""

_MOST_OPEN = 256
"""The most arrays in memory that a thread keeps open."""

_CAPACITY = 256
_BYTES = 1 << 20
"""The chunks of an array in memory, and the bytes that are encoded at once: each request takes its time."""

Array = np.ndarray[Any, Any]


class EncodedArray(NamedTuple):
    """What a store holds for an array: the key and the content of its metadata, and those of each chunk."""

    metadata_key: str
    metadata: bytes
    chunks: Sequence[tuple[str, bytes]]


class SmallChunks:
    """Encodes arrays; thread-safe."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._thread = threading.local()

    def encode(self, arrays: Sequence[Array], spec: Mapping[str, Any]) -> list[EncodedArray]:
        """Returns what TensorStore stores for arrays of one shape and dtype.

        Args:
          arrays: the arrays, in their stored form; none is empty, and each is one chunk.
          spec: the specification of each array, without driver and store.
        """
        opened: dict[str, _MemoryArray] = self._thread.__dict__.setdefault("opened", {})
        key = json.dumps(spec, sort_keys=True)
        if key not in opened:
            if len(opened) >= _MOST_OPEN:
                opened.clear()
            opened[key] = _MemoryArray(spec, self._driver, arrays[0].shape)
        return opened[key].encode(arrays)


class _MemoryArray:
    """An array in memory whose chunks are written again for other arrays; for one thread.

    Chunks are read from its store, never through the array, whose cache could answer with an earlier array.
    """

    def __init__(self, spec: Mapping[str, Any], driver: Driver, shape: tuple[int, ...]) -> None:
        self._driver, self._shape = driver, shape
        self._metadata_key = METADATA_KEYS[driver]
        self._metadata = stored_metadata(spec, driver)
        self._row = spec["metadata"]["chunks"][0] if driver == "zarr2" and shape else 0
        if driver == "zarr3" and shape:
            self._row = spec["metadata"]["chunk_grid"]["configuration"]["chunk_shape"][0]
        rows = {"shape": (_CAPACITY * self._row, *spec["metadata"]["shape"][1:])} if shape else {}
        self._array, self._store = _opened({**spec, "metadata": {**spec["metadata"], **rows}}, driver)

    def encode(self, arrays: Sequence[Array]) -> list[EncodedArray]:
        """Returns what is stored for arrays of these metadata, of which some are written at once."""
        most = max(1, min(_CAPACITY, _BYTES // arrays[0].nbytes)) if self._shape else 1
        return [found for at in range(0, len(arrays), most) for found in self._encode(arrays[at : at + most])]

    def _encode(self, arrays: Sequence[Array]) -> Iterator[EncodedArray]:
        if self._shape:
            self._array[: len(arrays) * self._row].write(np.concatenate(arrays)).result()
        else:
            self._array.write(arrays[0]).result()
        rest = (0,) * (len(self._shape) - 1)
        keys = [chunk_key((at, *rest) if self._shape else (), self._driver) for at in range(len(arrays))]
        own = chunk_key((0,) * len(self._shape), self._driver)
        for request in [self._store.read(key) for key in keys]:
            yield EncodedArray(self._metadata_key, self._metadata, ((own, request.result().value),))


def stored_metadata(spec: Mapping[str, Any], driver: Driver) -> bytes:
    """Returns the metadata that TensorStore stores for an array of this specification, without driver and store."""
    _, store = _opened(spec, driver)
    content: bytes = store.read(METADATA_KEYS[driver]).result().value
    return content


def _opened(spec: Mapping[str, Any], driver: Driver) -> tuple[Any, Any]:
    """Returns a new array in memory, and its store."""
    context, memory = ts.Context({"cache_pool": {"total_bytes_limit": 0}}), {"driver": "memory"}
    whole = ts.Spec({**spec, "driver": TENSORSTORE_DRIVERS[driver], "kvstore": memory})
    return ts.open(whole, create=True, context=context).result(), ts.KvStore.open(memory, context=context).result()
