"""Reads arrays of one small chunk: the chunk is found in an index that is read once, and TensorStore decodes it.

Opening an array in a database costs TensorStore more the larger the index is, so that a checkpoint of many small arrays
would take quadratic time. Here the chunk of each array is put into a store in memory that has the array's own metadata,
and one open array in memory serves all arrays of equal metadata.

Nothing is decided here about damage: an array that cannot be read this way is read through its own store, whose error
names the cause.
"""

from __future__ import annotations

import math
import os
import threading
from typing import TYPE_CHECKING, Any, Protocol

from migrate.dtypes import item_bytes
from migrate.errors import CheckpointError
from migrate.formats.base import key_prefix
from migrate.formats.files import file_size
from migrate.formats.stored_dtype import UnknownDtypeError
from migrate.formats.zarr.metadata import METADATA_KEYS, Driver, parse
from migrate.formats.zarr.references import read_value, references
from migrate.formats.zarr.store_spec import array_spec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from migrate.formats.base import Location
    from migrate.formats.zarr.ocdbt_format import Reference

SMALL_BYTES = 256 << 10
"""The largest array, decoded or encoded, that is read this way; a larger one is worth an open store of its own."""

_MOST_OPEN = 256
"""The most arrays in memory that a thread keeps open."""


class Values(Protocol):
    """The values of a key-value store."""

    def get(self, key: str) -> bytes | None:
        """Returns a value of at most `SMALL_BYTES`; None for others, and for those that cannot be read."""


class DatabaseValues:
    """The values of an OCDBT database, whose index is read when the first value is needed, and after a change."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._manifest = f"{base}/manifest.ocdbt"
        self._index: tuple[tuple[int, ...], Mapping[str, Reference]] | None = None

    @property
    def _references(self) -> Mapping[str, Reference]:
        try:
            found = os.stat(self._manifest)
        except OSError:
            return {}
        version = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        known = self._index
        if known is None or known[0] != version:
            try:
                known = (version, references(self._base))
            except CheckpointError:
                known = (version, {})
            self._index = known
        return known[1]

    def get(self, key: str) -> bytes | None:
        """Returns a value of at most `SMALL_BYTES`; None for others, and for those that cannot be read."""
        place = self._references.get(key)
        if place is None or place.length > SMALL_BYTES:
            return None
        if place.inline is not None:
            return place.inline
        try:
            return read_value(place, self._base)
        except (CheckpointError, OSError):
            return None

    def inline(self, key: str) -> bytes | None:
        """Returns a value that the index itself holds; None for all others."""
        place = self._references.get(key)
        return place.inline if place is not None else None


class FolderValues:
    """The values of a folder, in which each is a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> bytes | None:
        """Returns a value of at most `SMALL_BYTES`; None for others, and for those that cannot be read."""
        file = f"{self._folder}/{key}"
        size = file_size(file)
        if size is None or size > SMALL_BYTES:
            return None
        try:
            with open(file, "rb", buffering=0) as opened:
                return opened.read(SMALL_BYTES)
        except OSError:
            return None


def values_of(location: Location) -> DatabaseValues | FolderValues:
    """Returns the values of the store that holds an array."""
    return DatabaseValues(location.base) if location.ocdbt else FolderValues(location.base)


class SmallArrays:
    """Reads arrays of one chunk from the values of a store; thread-safe."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._thread = threading.local()

    def read(self, name: str, driver: Driver) -> np.ndarray[Any, Any] | None:
        """Returns an array in its stored form; None if it is not one small chunk or cannot be read.

        Args:
          name: its stored name.
          driver: `zarr2` or `zarr3`.
        """
        prefix = key_prefix(name)
        content = self._values.get(f"{prefix}{METADATA_KEYS[driver]}")
        key = _only_chunk(content, driver) if content is not None else None
        chunk = self._values.get(f"{prefix}{key}") if key is not None else None
        if content is None or key is None or chunk is None:
            return None
        try:
            array: np.ndarray[Any, Any] = self._opened(content, driver).decode(key, chunk)
        except (ValueError, OSError):
            return None
        return array

    def _opened(self, content: bytes, driver: Driver) -> _MemoryArray:
        opened: dict[tuple[bytes, Driver], _MemoryArray] = self._thread.__dict__.setdefault("opened", {})
        if (content, driver) not in opened:
            if len(opened) >= _MOST_OPEN:
                opened.clear()
            opened[content, driver] = _MemoryArray(content, driver)
        return opened[content, driver]


def _only_chunk(content: bytes, driver: Driver) -> str | None:
    """Returns the key of the only chunk; None where there are several, or the array is not small."""
    try:
        metadata = parse(content, driver)
    except (ValueError, UnknownDtypeError):
        return None
    sides = zip(metadata.aval.shape, metadata.chunks, strict=False)
    decoded = math.prod(metadata.chunks) * item_bytes(metadata.aval.dtype)
    if decoded > SMALL_BYTES or not all(0 < size <= chunk for size, chunk in sides):
        return None
    keys = metadata.chunk_keys()
    return next(keys) if keys is not None else None


class _MemoryArray:
    """An array in memory, whose only chunk is replaced for each array that is read; for one thread."""

    def __init__(self, content: bytes, driver: Driver) -> None:
        import tensorstore as ts

        context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
        self._store: Any = ts.KvStore.open({"driver": "memory"}, context=context).result()
        self._store.write(METADATA_KEYS[driver], content).result()
        spec = array_spec({"driver": "memory"}, driver, fill_missing=False)
        self._array: Any = ts.open(spec, open=True, read=True, context=context).result()

    def decode(self, key: str, chunk: bytes) -> Any:
        """Returns the array whose only chunk has these bytes."""
        self._store.write(key, chunk).result()
        return self._array.read().result()
