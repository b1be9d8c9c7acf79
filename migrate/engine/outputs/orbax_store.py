"""The staging store of the Orbax output: an OCDBT database or plain zarr beside DST that the commit links into place.

It has the options and the array metadata that Orbax itself uses, and its arrays have their final names. So the commit
moves no array byte: the store becomes the database, or the folders of arrays, of the new checkpoint.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import tensorstore as ts

from migrate import dtypes
from migrate.engine.linking.data_files import DataFiles
from migrate.engine.linking.new_files import NewFiles, file_key
from migrate.engine.linking.new_objects import NewObjects, new_files
from migrate.engine.linking.open_stores import OPTIONS
from migrate.engine.outputs.array_record import describe
from migrate.engine.outputs.chunk_encoder import ChunkEncoder
from migrate.engine.outputs.small_chunks import SMALL_BYTES, EncodedArray, SmallChunks
from migrate.engine.outputs.zarr_metadata import array_metadata
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.array_bytes import contiguous, digest_of, stored_form
from migrate.engine.streaming.store import Done
from migrate.formats.base import key_prefix
from migrate.formats.digest_record import Blocks
from migrate.formats.zarr.metadata import TENSORSTORE_DRIVERS, Driver
from migrate.formats.zarr.store_spec import INDEX_CACHE, database_spec, folder_spec
from migrate.places.bucket_path import BucketPath
from migrate.tree import AbstractLeaf, KeyPath

BATCH_BYTES = 32 << 20
"""The approximate size of a transaction: each costs a few files, and keeps its arrays in memory until its commit."""

BATCH_ARRAYS = 512
"""The most arrays of one of the first transactions: the bookkeeping of an array can outweigh the array."""

GROWTH = 4
"""Later transactions may have a quarter of the arrays that are durable: each writes most of the index again, so that
transactions of one size would take quadratic time.
"""

_COMMITTERS, _MOST_COMMITTING = 2, 3
"""The batches that are made durable at once, which takes most of its time waiting for the disk, and the most that wait
or are being made durable.
"""

_INDEX_CACHE_BYTES = 16 << 20
"""Without an index cache, the database reads its index again for every array that is opened."""


def _nothing(staged: StagedArray) -> None:
    del staged


class _SmallArray(NamedTuple):
    """An array of one small chunk, and the codec where the store has no compression of its own."""

    staged: StagedArray
    stored: np.ndarray[Any, Any]
    codec: str | None


@dataclass
class _Batch:
    """Arrays that become durable together."""

    transaction: Any
    encoded: list[tuple[StagedArray, EncodedArray]] = field(default_factory=list)
    values: list[tuple[str, bytes]] = field(default_factory=list)
    writes: list[Any] = field(default_factory=list)
    small: list[_SmallArray] = field(default_factory=list)
    arrays: list[tuple[StagedArray, Done]] = field(default_factory=list)
    nbytes: int = 0
    most: int = BATCH_ARRAYS
    full: int = BATCH_BYTES
    files: NewFiles | NewObjects | None = None

    @property
    def is_full(self) -> bool:
        return self.nbytes >= self.full or len(self.arrays) >= self.most

    def commit(self) -> None:
        for write in self.writes:
            write.result()
        self.transaction.commit_async().result()
        if self.files is not None:
            self.files.sync()
        self.writes.clear()
        for staged, done in self.arrays:
            done(staged)


class Staging:
    """Writes arrays into the store at `directory`, which may exist already; thread-safe.

    A context manager that commits the last batch on exit, and discards it after an error.
    """

    def __init__(
        self,
        directory: Path,
        *,
        zarr3: bool,
        compression: str | None = None,
        jobs: int = 2,
        plain: bool = False,
        name: str | None = None,
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        """Opens or creates a store.

        Args:
          directory: the store; created if missing.
          zarr3: the version of zarr: 3 or 2.
          compression: `zstd:N` or `none` for every array; None keeps each array's own codec.
          jobs: number of chunks that are encoded at once.
          plain: whether chunks are files of their own rather than values of an OCDBT database.
          name: the name of the only array (default: arrays are named by their key paths).
          batch_bytes: the approximate size of a transaction.
        """
        self._batch_bytes = batch_bytes
        # Otherwise the manifest is written for each array, and entries are not copied by reference.
        self._is_atomic = not plain
        self.directory = directory
        self.compression = compression
        self._zarr3 = zarr3
        self._plain = plain
        self._name = name
        self._context = ts.Context(
            {
                "cache_pool": {"total_bytes_limit": 0},
                INDEX_CACHE: {"total_bytes_limit": _INDEX_CACHE_BYTES},
                "data_copy_concurrency": {"limit": jobs},
            }
        )
        self._lock = threading.Lock()
        self._begun = 0
        self._batch = self._next_batch()
        driver: Driver = "zarr3" if zarr3 else "zarr2"
        self._small_chunks, self._chunks = SmallChunks(driver), ChunkEncoder(driver, jobs)
        # A killed run may have committed arrays that its journal does not name; they are written again.
        self._replaces = directory.exists()
        # A bucket's transactions are large: one at a time.
        self._committer = None if isinstance(directory, BucketPath) else ThreadPoolExecutor(_COMMITTERS, "commit")
        self._committing: list[Future[None]] = []
        directory.mkdir(parents=True, exist_ok=True)
        self._values: Any = ts.KvStore.open(self._kvstore(""), context=self._context).result()
        is_local = self._committer is not None and not plain
        self._data_files = DataFiles(directory, self._context) if is_local else None

    def _next_batch(self, previous: _Batch | None = None) -> _Batch:
        self._begun += len(previous.arrays) if previous else 0
        files = new_files(self.directory) if self._plain else None
        most = BATCH_ARRAYS * max(1, self._begun // (GROWTH * BATCH_ARRAYS))
        transaction = ts.Transaction(atomic=self._is_atomic)
        return _Batch(transaction, most=most, full=self._batch_bytes, files=files)

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
            else:
                self._batch.transaction.abort()
        finally:
            self._chunks.close()
            if self._committer is not None:
                self._committer.shutdown(cancel_futures=True)
            if self._data_files is not None:
                self._data_files.close()

    def write(
        self,
        path: KeyPath,
        leaf: AbstractLeaf,
        array: np.ndarray[Any, Any],
        *,
        codec: str | None = None,
        done: Done = _nothing,
    ) -> StagedArray:
        """Writes one array; it is durable when `done` is called, at the latest when `flush` has returned.

        Args:
          path: its key path in its item.
          leaf: the target's leaf; its sharding decides the chunks.
          array: the value; must stay unchanged until it is durable.
          codec: the codec where the store has no compression of its own (default: zstd of level 1).
          done: called by the thread that commits.
        """
        whole = contiguous(array)
        stored = stored_form(whole)
        staged = describe(path, leaf, whole.dtype, "", name=self._name)
        is_small = self._is_small(staged, stored)
        encoding = None if is_small else self._chunks.begin(stored, self._array_spec(staged, codec))
        found = digest_of(whole)  # while threads encode the chunks
        staged = replace(staged, digest=str(found), blocks=found.blocks)
        encoded = encoding.result() if encoding is not None else None
        with self._lock:
            batch = self._batch
            if is_small:
                batch.small.append(_SmallArray(staged, stored, codec))
            elif encoded is not None:
                batch.encoded.append((staged, encoded))
            else:
                store = self._open(staged, codec, batch.transaction)
                batch.writes.append(store.write(stored, can_reference_source_data_indefinitely=True))
            batch.arrays.append((staged, done))
            batch.nbytes += array.nbytes
            if not batch.is_full:
                return staged
            self._batch = self._next_batch(batch)
        self._begin_commit(batch)
        return staged

    def _is_small(self, staged: StagedArray, stored: np.ndarray[Any, Any]) -> bool:
        """Whether an array is one small chunk, which is encoded when its batch is committed."""
        grid = staged.write_shape if self._zarr3 else staged.chunk_shape
        return 0 < stored.nbytes <= SMALL_BYTES and tuple(grid) == tuple(staged.shape)

    def _begin_commit(self, batch: _Batch) -> None:
        """Lets a thread make a batch durable while arrays are written; waits where too many are not durable yet."""
        if self._committer is None:
            self._commit(batch)
            return
        with self._lock:
            self._committing.append(self._committer.submit(self._commit, batch))
            earlier = self._committing[:-_MOST_COMMITTING]
        self._wait_for(earlier)

    def _wait_for(self, commits: Sequence[Future[None]]) -> None:
        """Waits for commits; raises the failure of one, also to every later caller."""
        for commit in commits:
            commit.result()
        with self._lock:
            self._committing = [commit for commit in self._committing if commit not in commits]

    def _commit(self, batch: _Batch) -> None:
        """Makes a batch durable; equal small arrays are encoded together."""
        alike: dict[object, list[_SmallArray]] = {}
        for small in batch.small:
            alike.setdefault((small.staged.shape, small.staged.dtype, small.codec), []).append(small)
        for group in alike.values():
            spec = self._array_spec(group[0].staged, group[0].codec)
            encoded = self._small_chunks.encode([small.stored for small in group], spec)
            batch.encoded += zip((small.staged for small in group), encoded, strict=True)
        batch.small.clear()
        while batch.encoded:
            self._write_values(*batch.encoded.pop(), batch)
        if self._data_files is not None:
            self._data_files.write(batch.values, self._values.with_transaction(batch.transaction))
        batch.values.clear()
        batch.commit()

    def _write_values(self, staged: StagedArray, encoded: EncodedArray, batch: _Batch) -> None:
        """Writes an array in place of an array of this name; metadata last, since they make the array exist."""
        prefix, clears = key_prefix(staged.name), self._replaces and bool(staged.name)
        pairs = (*encoded.chunks, (encoded.metadata_key, encoded.metadata))
        if batch.files is not None:
            if clears:
                batch.files.remove_below(file_key(prefix))
            for key, value in pairs:
                batch.files.write(file_key(f"{prefix}{key}"), value)
            return
        values = self._values.with_transaction(batch.transaction)
        if clears:
            earlier = ts.KvStore.KeyRange(prefix, f"{staged.name}0")  # `0` follows `/`
            batch.writes.append(values.delete_range(earlier))
        if self._data_files is not None:
            batch.values += ((f"{prefix}{key}", value) for key, value in pairs)
        else:
            batch.writes += [values.write(f"{prefix}{key}", value) for key, value in pairs]

    def flush(self) -> None:
        """Makes everything durable that was written so far; in a bucket, unless another thread is committing it."""
        with self._lock:
            batch, self._batch = self._batch, self._next_batch(self._batch)
        if batch.arrays:
            self._begin_commit(batch)
        with self._lock:
            commits = list(self._committing)
        self._wait_for(commits)

    def tiled(
        self, path: KeyPath, leaf: AbstractLeaf, tile: Sequence[int], codec: str | None = None, done: Done = _nothing
    ) -> TiledWrite:
        """Begins an array that is written tile by tile; no chunk is larger than a tile.

        Args:
          path: its key path in its item.
          leaf: the target's leaf.
          tile: the shape of a tile; along an axis with several shards, a part of one shard or all shards.
          codec: as in `write`.
          done: called when the array is complete and durable.
        """
        assert leaf.aval is not None
        staged = describe(path, leaf, dtypes.to_numpy(leaf.aval.dtype), "", tile=tuple(tile), name=self._name)
        return TiledWrite(staged, self._open(staged, codec, None), done)

    def _open(self, staged: StagedArray, codec: str | None, transaction: Any) -> Any:
        spec = ts.Spec(self._spec(staged, codec))
        request = ts.open(
            spec, create=True, delete_existing=self._replaces, context=self._context, transaction=transaction
        )
        return request.result()

    def _spec(self, staged: StagedArray, codec: str | None) -> dict[str, Any]:
        driver = TENSORSTORE_DRIVERS["zarr3" if self._zarr3 else "zarr2"]
        kvstore = self._kvstore(key_prefix(staged.name))
        return {"driver": driver, "kvstore": kvstore, **self._array_spec(staged, codec)}

    def _array_spec(self, staged: StagedArray, codec: str | None) -> dict[str, Any]:
        """Returns the specification of an array, without driver and store."""
        return {
            "metadata": array_metadata(staged, self.compression or codec or "zstd:1", zarr3=self._zarr3),
            "dtype": staged.dtype.name,
            "store_data_equal_to_fill_value": True,
            "recheck_cached_data": False,
            "recheck_cached_metadata": False,
        }

    def _kvstore(self, prefix: str) -> dict[str, Any]:
        if self._plain:
            return folder_spec(self.directory, prefix)
        return database_spec(self.directory, prefix, config=OPTIONS, assume_config=True, cache_pool=INDEX_CACHE)


class TiledWrite:
    """One array that is written tile by tile: one tile is encoded while the next is computed."""

    def __init__(self, staged: StagedArray, store: Any, done: Done) -> None:
        self._staged = staged
        self._store = store
        self._done = done
        self._writing: Any = None

    def write(self, start: Sequence[int], tile: np.ndarray[Any, Any]) -> None:
        """Writes a tile, which must stay unchanged until `finish`.

        Args:
          start: the index of the tile's first element.
          tile: the elements.
        """
        box = tuple(slice(low, low + size) for low, size in zip(start, tile.shape, strict=True))
        self._settle()
        self._writing = self._store[(*box, ...)].write(stored_form(tile), can_reference_source_data_indefinitely=True)

    def _settle(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def finish(self, value_digest: str, blocks: Blocks | None = None) -> StagedArray:
        """Returns when every tile is durable.

        Args:
          value_digest: the digest of the whole array.
          blocks: the digests of its blocks.
        """
        self._settle()
        staged = replace(self._staged, digest=value_digest, blocks=blocks)
        self._done(staged)
        return staged
