"""The staging store of the Orbax output: an OCDBT database or plain zarr beside DST that the commit links into place.

It has the options and the array metadata that Orbax itself uses, and its arrays have their final names. So the commit
moves no array byte: the store becomes the database, or the folders of arrays, of the new checkpoint.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import tensorstore as ts

from migrate import dtypes
from migrate.engine.linking.open_stores import OPTIONS
from migrate.engine.outputs.array_record import describe
from migrate.engine.outputs.zarr_metadata import array_metadata
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.array_bytes import contiguous, digest_of, stored_form
from migrate.engine.streaming.store import Done
from migrate.formats.base import key_prefix
from migrate.formats.digest_record import Blocks
from migrate.formats.zarr.store_spec import INDEX_CACHE, database_spec, folder_spec
from migrate.tree import AbstractLeaf, KeyPath

BATCH_BYTES = 32 << 20
"""The approximate size of a transaction: each costs a few files, and keeps its arrays in memory until its commit."""

BATCH_ARRAYS = 512
"""The most arrays of one transaction: the bookkeeping of an array can outweigh the array."""

_INDEX_CACHE_BYTES = 16 << 20
"""Without an index cache, the database reads its index again for every array that is opened."""


def _nothing(staged: StagedArray) -> None:
    del staged


@dataclass
class _Batch:
    """Arrays that become durable together."""

    transaction: Any = field(default_factory=ts.Transaction)
    writes: list[Any] = field(default_factory=list)
    arrays: list[tuple[StagedArray, Done]] = field(default_factory=list)
    nbytes: int = 0

    @property
    def is_full(self) -> bool:
        return self.nbytes >= BATCH_BYTES or len(self.arrays) >= BATCH_ARRAYS

    def commit(self) -> None:
        for write in self.writes:
            write.result()
        self.transaction.commit_async().result()
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
    ) -> None:
        """Opens or creates a store.

        Args:
          directory: the store; created if missing.
          zarr3: the version of zarr: 3 or 2.
          compression: `zstd:N` or `none` for every array; None keeps each array's own codec.
          jobs: number of chunks that are encoded at once.
          plain: whether chunks are files of their own rather than values of an OCDBT database.
          name: the name of the only array (default: arrays are named by their key paths).
        """
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
        self._batch = _Batch()
        # A killed run may have committed arrays that its journal does not name; they are written again.
        self._replaces = directory.exists()
        directory.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self._batch.transaction.abort()

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
        found = digest_of(whole)
        staged = describe(path, leaf, whole.dtype, str(found), blocks=found.blocks, name=self._name)
        with self._lock:
            batch = self._batch
            store = self._open(staged, codec, batch.transaction)
            batch.writes.append(store.write(stored_form(whole), can_reference_source_data_indefinitely=True))
            batch.arrays.append((staged, done))
            batch.nbytes += array.nbytes
            if not batch.is_full:
                return staged
            self._batch = _Batch()
        batch.commit()
        return staged

    def flush(self) -> None:
        """Makes everything durable that was written so far, unless another thread is committing it."""
        with self._lock:
            batch, self._batch = self._batch, _Batch()
        if batch.arrays:
            batch.commit()

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
        spec = ts.Spec(self._spec(staged, self.compression or codec or "zstd:1"))
        request = ts.open(
            spec, create=True, delete_existing=self._replaces, context=self._context, transaction=transaction
        )
        return request.result()

    def _spec(self, staged: StagedArray, codec: str) -> dict[str, Any]:
        return {
            "driver": "zarr3" if self._zarr3 else "zarr",
            "metadata": array_metadata(staged, codec, zarr3=self._zarr3),
            "kvstore": self._kvstore(key_prefix(staged.name)),
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
