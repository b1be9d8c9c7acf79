"""Encodes arrays of one small chunk in memory, so that a database receives them as plain values.

TensorStore opens an array in a database in a time that grows with the database, and a checkpoint may have many small
arrays. So one array in memory encodes all arrays of equal metadata, one after the other.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorstore as ts

from migrate.formats.zarr.metadata import METADATA_KEYS, TENSORSTORE_DRIVERS, Driver, chunk_key

SMALL_BYTES = 256 << 10
"""The largest array that is encoded this way: the chunks of larger ones are encoded on all cores."""

_MOST_OPEN = 256
"""The most arrays in memory that a thread keeps open."""


class EncodedArray(NamedTuple):
    """What a database stores for an array of one chunk."""

    metadata_key: str
    metadata: bytes
    chunk_key: str
    chunk: bytes


class SmallChunks:
    """Encodes arrays; thread-safe."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._thread = threading.local()

    def encode(self, array: np.ndarray[Any, Any], spec: Mapping[str, Any]) -> EncodedArray:
        """Returns what TensorStore stores for an array.

        Args:
          array: the array, in its stored form; not empty, and one chunk.
          spec: the specification of the array, without driver and store.
        """
        opened: dict[str, _MemoryArray] = self._thread.__dict__.setdefault("opened", {})
        key = json.dumps(spec, sort_keys=True)
        if key not in opened:
            if len(opened) >= _MOST_OPEN:
                opened.clear()
            opened[key] = _MemoryArray(spec, self._driver, array.ndim)
        return opened[key].encode(array)


class _MemoryArray:
    """An array in memory that is written again for each array; for one thread."""

    def __init__(self, spec: Mapping[str, Any], driver: Driver, rank: int) -> None:
        context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
        memory = {"driver": "memory"}
        whole = ts.Spec({**spec, "driver": TENSORSTORE_DRIVERS[driver], "kvstore": memory})
        self._array: Any = ts.open(whole, create=True, context=context).result()
        self._store: Any = ts.KvStore.open(memory, context=context).result()
        self._metadata_key, self._chunk_key = METADATA_KEYS[driver], chunk_key((0,) * rank, driver)
        self._metadata = self._store.read(self._metadata_key).result().value

    def encode(self, array: np.ndarray[Any, Any]) -> EncodedArray:
        """Returns what is stored for an array of these metadata."""
        self._array.write(array).result()
        chunk = self._store.read(self._chunk_key).result().value
        return EncodedArray(self._metadata_key, self._metadata, self._chunk_key, chunk)
