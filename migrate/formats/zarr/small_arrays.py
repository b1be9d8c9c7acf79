"""Reads arrays of one small chunk: the chunk is found in an index that is read once, and TensorStore decodes it.

Opening an array in a database costs TensorStore more the larger the index is, so that a checkpoint of many small arrays
would take quadratic time. Here the chunk of each array is put into a store in memory, and one open array in memory, of
which each is a chunk, serves all arrays of equal metadata.

Nothing is decided here about damage: an array that cannot be read this way is read through its own store, whose error
names the cause.
"""

from __future__ import annotations

import json
import math
import os
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from migrate.dtypes import item_bytes
from migrate.errors import CheckpointError
from migrate.formats.base import key_prefix
from migrate.formats.files import file_size
from migrate.formats.stored_dtype import UnknownDtypeError
from migrate.formats.zarr.metadata import METADATA_KEYS, Driver, chunk_key, parse
from migrate.formats.zarr.references import read_value, references
from migrate.formats.zarr.store_spec import array_spec
from migrate.places.bucket_path import BucketPath
from migrate.places.names import version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from migrate.formats.base import Location, StoredValues
    from migrate.formats.zarr.ocdbt_format import Reference

SMALL_BYTES = 256 << 10
"""The largest array, decoded or encoded, that is read this way; a larger one is worth an open store of its own."""

_MOST_OPEN = 256
"""The most arrays in memory that a thread keeps open."""

AHEAD_BYTES = 4 << 20
"""The most decoded bytes that are read ahead."""

_CAPACITY = 4096
"""The chunks of an array in memory; the next one has a new array."""


class DatabaseValues:
    """The values of an OCDBT database, whose index is read when the first value is needed, and after a change."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._manifest = f"{base}/manifest.ocdbt"
        self._index: tuple[Any, Mapping[str, Reference] | CheckpointError] | None = None

    def references(self) -> Mapping[str, Reference]:
        """Returns every key of the newest version with its reference; the same object while the manifest is the same.

        Raises:
          CheckpointError: there is no database, or its index is damaged or refers to files outside it.
        """
        found = self._found()
        if isinstance(found, CheckpointError):
            raise found
        return found

    def _found(self) -> Mapping[str, Reference] | CheckpointError:
        version, known = version_of(self._manifest), self._index
        if known is None or known[0] != version or version is None:
            try:
                known = (version, references(self.base))
            except CheckpointError as error:
                known = (version, error)
            self._index = known
        return known[1]

    @property
    def entries(self) -> Mapping[str, Reference]:
        """Every key of the index with its reference; none where it cannot be read."""
        found = self._found()
        return {} if isinstance(found, CheckpointError) else found

    def get(self, key: str) -> bytes | None:
        """Returns a value of at most `SMALL_BYTES`; None for others, and for those that cannot be read."""
        return self._value(self.entries.get(key))

    def get_all(self, keys: Iterable[str]) -> dict[str, bytes | None]:
        """Returns values as `get` does."""
        known = self.entries
        return {key: self._value(known.get(key)) for key in keys}

    def _value(self, place: Reference | None) -> bytes | None:
        if place is None or place.length > SMALL_BYTES:
            return None
        if (content := place.inline) is not None:
            return content
        try:
            return read_value(place, self.base)
        except (CheckpointError, OSError):
            return None

    def holds(self, key: str) -> bool:
        """Whether the index has a key."""
        return key in self.entries

    def inline(self, key: str) -> bytes | None:
        """Returns a value that the index itself holds; None for all others."""
        return self.inlined([key])[key]

    def inlined(self, keys: Sequence[str]) -> dict[str, bytes | None]:
        """Returns the values that the index itself holds; None for all others."""
        known = self.entries
        return {key: place.inline if (place := known.get(key)) is not None else None for key in keys}


class FolderValues:
    """The values of a folder, in which each is a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_all(self, keys: Iterable[str]) -> dict[str, bytes | None]:
        """Returns values as `get` does."""
        return {key: self.get(key) for key in keys}

    def get(self, key: str) -> bytes | None:
        """Returns a value of at most `SMALL_BYTES`; None for others, and for those that cannot be read."""
        if isinstance(self._folder, BucketPath):
            return None  # TensorStore requests many at once
        file = f"{self._folder}/{key}"
        size = file_size(file)  # before it is opened: a pipe would block
        if size is None or size > SMALL_BYTES:
            return None
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return os.read(descriptor, SMALL_BYTES)
        except OSError:
            return None
        finally:
            os.close(descriptor)


def values_of(location: Location) -> DatabaseValues | FolderValues:
    """Returns the values of the store that holds an array: those that its reader has, as far as it has any."""
    known = location.values
    if isinstance(known, DatabaseValues | FolderValues):
        return known
    return DatabaseValues(location.base) if location.ocdbt else FolderValues(location.base)


def database_of(location: Location) -> DatabaseValues:
    """Returns the values of the database that holds an array."""
    values = values_of(location)
    assert isinstance(values, DatabaseValues)
    return values


class SmallArrays:
    """Reads arrays of one chunk from the values of a store; thread-safe."""

    def __init__(self, values: StoredValues) -> None:
        self._values = values
        self._thread = threading.local()

    def read(self, name: str, driver: Driver) -> np.ndarray[Any, Any] | None:
        """Returns an array in its stored form; None if it is not one small chunk or cannot be read.

        Args:
          name: its stored name.
          driver: `zarr2` or `zarr3`.
        """
        ahead = self._ahead.pop((name, driver), None)
        return ahead if ahead is not None else self._decoded([(name, driver)]).get((name, driver))

    def read_ahead(self, arrays: Iterable[tuple[str, Driver]]) -> None:
        """Reads arrays together, which takes much less time; each is kept until this thread reads it, or calls again.

        Args:
          arrays: stored names and drivers. Arrays that are not one small chunk are left out, as are arrays beyond
            `AHEAD_BYTES` together.
        """
        self._ahead.clear()
        self._ahead.update(self._decoded(arrays))

    @property
    def _ahead(self) -> dict[tuple[str, Driver], np.ndarray[Any, Any]]:
        found: dict[tuple[str, Driver], np.ndarray[Any, Any]] = self._thread.__dict__.setdefault("ahead", {})
        return found

    def _decoded(self, arrays: Iterable[tuple[str, Driver]]) -> dict[tuple[str, Driver], np.ndarray[Any, Any]]:
        """Returns the arrays that are one small chunk and can be decoded."""
        alike: dict[tuple[bytes, Driver], dict[str, bytes]] = {}
        nbytes = 0
        for name, driver in arrays:
            prefix = key_prefix(name)
            content = self._values.get(f"{prefix}{METADATA_KEYS[driver]}")
            small = _small_chunk(content, driver) if content is not None else None
            chunk = self._values.get(f"{prefix}{small.key}") if small is not None else None
            if content is not None and small is not None and chunk is not None:
                alike.setdefault((content, driver), {})[name] = chunk
                nbytes += small.nbytes
                if nbytes > AHEAD_BYTES:
                    break
        return {
            (name, kind[1]): array
            for kind, chunks in alike.items()
            for name, array in zip(chunks, self._decode(kind, list(chunks.values())), strict=True)
            if array is not None
        }

    def _decode(self, kind: tuple[bytes, Driver], chunks: Sequence[bytes]) -> Iterator[np.ndarray[Any, Any] | None]:
        """Yields the arrays of chunks of equal metadata; None for those that cannot be decoded."""
        while chunks:
            try:
                opened = self._opened(*kind)
            except (ValueError, OSError):
                yield from [None] * len(chunks)
                return
            part, chunks = chunks[: opened.room], chunks[opened.room :]
            try:
                yield from opened.decode(part)
            except (ValueError, OSError):
                if len(part) == 1:
                    yield None
                else:
                    yield from (array for chunk in part for array in self._decode(kind, [chunk]))

    def _opened(self, content: bytes, driver: Driver) -> _MemoryArray:
        opened: dict[tuple[bytes, Driver], _MemoryArray] = self._thread.__dict__.setdefault("opened", {})
        key = (content, driver)
        if key not in opened or not opened[key].room:
            if len(opened) >= _MOST_OPEN:
                opened.clear()
            opened[key] = _MemoryArray(content, driver)
        return opened[key]


@lru_cache(maxsize=1024)  # many arrays of a checkpoint have equal metadata
def _small_chunk(content: bytes, driver: Driver) -> _SmallChunk | None:
    """Returns the only chunk of an array; None where there are several, or the array is not small."""
    try:
        metadata = parse(content, driver)
    except (ValueError, UnknownDtypeError):
        return None
    sides = zip(metadata.aval.shape, metadata.chunks, strict=False)
    decoded = math.prod(metadata.chunks) * item_bytes(metadata.aval.dtype)
    if decoded > SMALL_BYTES or not all(0 < size <= chunk for size, chunk in sides):
        return None
    keys = metadata.chunk_keys()
    return _SmallChunk(next(keys), metadata.aval.shape, metadata.chunks, decoded) if keys is not None else None


class _SmallChunk(NamedTuple):
    """The only chunk of an array: its key, the shape of the array, its own shape, and the decoded bytes."""

    key: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    nbytes: int


class _MemoryArray:
    """An array in memory whose chunks are the arrays that are read, some at once; for one thread.

    No chunk is read twice. TensorStore compares the time of a cached chunk with the time of the request, and the clock
    is not strictly monotonic: a chunk that were replaced could be answered from the cache.
    """

    def __init__(self, content: bytes, driver: Driver) -> None:
        import tensorstore as ts

        small = _small_chunk(content, driver)
        assert small is not None
        self._driver, self._small = driver, small
        self._used, self._capacity = 0, _CAPACITY if small.shape else 1
        context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
        self._store: Any = ts.KvStore.open({"driver": "memory"}, context=context).result()
        self._store.write(METADATA_KEYS[driver], _with_capacity(content, small)).result()
        spec = array_spec({"driver": "memory"}, driver, fill_missing=False)
        self._array: Any = ts.open(spec, open=True, read=True, context=context).result()

    @property
    def room(self) -> int:
        """The number of chunks that were not read."""
        return self._capacity - self._used

    def decode(self, chunks: Sequence[bytes]) -> list[Any]:
        """Returns the arrays whose only chunks have these bytes; there is room for them."""
        first, self._used = self._used, self._used + len(chunks)
        shape, sides = self._small.shape, self._small.chunk
        rest = (0,) * (len(shape) - 1)
        keys = [chunk_key((at, *rest) if shape else (), self._driver) for at in range(first, self._used)]
        for request in [self._store.write(key, chunk) for key, chunk in zip(keys, chunks, strict=True)]:
            request.result()
        try:
            if not shape:
                return [self._array.read().result()]
            if shape[0] != sides[0]:  # of a chunk that is larger than the array, the rest may be missing
                starts = range(first * sides[0], self._used * sides[0], sides[0])
                return [read.result() for read in [self._array[at : at + shape[0]].read() for at in starts]]
            rows = self._array[first * sides[0] : self._used * sides[0]].read().result()
            # Copies: a view would keep all of them in memory.
            return [rows[at : at + sides[0]].copy() for at in range(0, len(rows), sides[0])]
        finally:
            for key in keys:
                self._store.write(key, None).result()


def _with_capacity(content: bytes, small: _SmallChunk) -> bytes:
    """Returns the metadata of an array with `_CAPACITY` such chunks along its first axis; a scalar keeps its own."""
    fields = json.loads(content)
    if small.shape:
        fields["shape"][0] = _CAPACITY * small.chunk[0]
    return json.dumps(fields).encode()
