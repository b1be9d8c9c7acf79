"""The staging store: an OCDBT database beside DST that holds the new arrays until the commit links it into place.

It is written with the options and the array metadata that Orbax itself uses, under the names that the arrays will
have, so that committing needs no array byte: the store becomes one more per-process database of an Orbax save, and
Orbax merges it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import tensorstore as ts
import xxhash

from migrate import dtypes
from migrate.tree import AbstractLeaf, KeyPath, Sharding

CHUNK_BYTES = 256 << 20
"""No chunk is larger: who reads a part of an array has to decode whole chunks."""

BATCH_BYTES = 32 << 20
"""Arrays are written in transactions of about this size: each costs a few files, and holds its arrays until it is
committed.
"""

_OCDBT = {"max_inline_value_bytes": 1024, "max_decoded_node_bytes": 100_000_000, "manifest_kind": "single"}


@dataclass(frozen=True, slots=True)
class StagedArray:
    """An array in the staging store, as the commit needs to know it.

    Attributes:
      name: its stored name.
      shape, dtype: as stored: a typed key has its words as a last dimension of uint32.
      write_shape, chunk_shape: one shard, and one chunk.
      key_impl: JAX's name of the key implementation, for typed keys.
      digest: `xxh3:` of its little-endian bytes in C order.
      sharding: how it is to be placed; None adapts to whatever devices are there.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    write_shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    key_impl: str | None
    digest: str
    sharding: Sharding | None


def stored_name(path: KeyPath, leaf: AbstractLeaf) -> str:
    """The name under which Orbax stores a leaf: its key path and Flax's level below it, joined with `.`."""
    return ".".join((*path, leaf.box) if leaf.box else path)


def digest(array: np.ndarray[Any, Any]) -> str:
    """`xxh3:` of an array's little-endian bytes in C order."""
    little = array if array.dtype.byteorder != ">" else array.astype(array.dtype.newbyteorder("<"))
    return f"xxh3:{xxhash.xxh3_128_hexdigest(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)}"


def stored_form(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What is stored for an array: itself, or for typed keys their words."""
    impl = dtypes.key_impl(dtypes.from_numpy(array.dtype))
    return array if impl is None else np.asarray(array[impl])


class Staging:
    """Writes arrays into the store at `directory`, one by one; a context manager that commits what is left on
    leaving.
    """

    def __init__(self, directory: Path, *, zarr3: bool) -> None:
        self.directory = directory
        self._zarr3 = zarr3
        self._context = ts.Context({"cache_pool": {"total_bytes_limit": 0}, "data_copy_concurrency": {"limit": 2}})
        self._transaction = ts.Transaction()
        self._pending: list[Any] = []
        self._pending_bytes = 0
        directory.mkdir(parents=True)

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        else:
            self._transaction.abort()

    def write(self, path: KeyPath, leaf: AbstractLeaf, array: np.ndarray[Any, Any]) -> StagedArray:
        """Writes one array.

        Args:
          path: its key path in the target.
          leaf: the target's leaf; its sharding decides the chunks.
          array: the value; must stay unchanged until the store is left.
        """
        staged = _describe(path, leaf, array)
        words = stored_form(array)
        spec = ts.Spec(self._spec(staged))
        store = ts.open(spec, create=True, context=self._context, transaction=self._transaction).result()
        self._pending.append(store.write(words, can_reference_source_data_indefinitely=True))
        self._pending_bytes += array.nbytes
        if self._pending_bytes >= BATCH_BYTES:
            self._flush()
        return staged

    def _flush(self) -> None:
        for future in self._pending:
            future.result()
        self._transaction.commit_async().result()
        self._transaction = ts.Transaction()
        self._pending, self._pending_bytes = [], 0

    def _spec(self, staged: StagedArray) -> dict[str, Any]:
        base = {"driver": "file", "path": f"{self.directory}/"}
        kvstore = {"driver": "ocdbt", "base": base, "path": f"{staged.name}/", "config": _OCDBT, "assume_config": True}
        common = {
            "kvstore": kvstore,
            "dtype": staged.dtype.name,
            "store_data_equal_to_fill_value": True,
            "recheck_cached_data": False,
            "recheck_cached_metadata": False,
        }
        if self._zarr3:
            return {"driver": "zarr3", "metadata": _zarr3_metadata(staged), **common}
        return {"driver": "zarr", "metadata": _zarr2_metadata(staged), **common}


def _describe(path: KeyPath, leaf: AbstractLeaf, array: np.ndarray[Any, Any]) -> StagedArray:
    assert leaf.aval is not None
    impl = dtypes.key_impl(leaf.aval.dtype)
    words = (dtypes.KEY_WORDS[impl],) if impl else ()
    sharding = leaf.sharding if leaf.sharding and leaf.sharding.placed else None
    shard = (sharding.shard_shape(leaf.aval.shape) if sharding else leaf.aval.shape) + words
    stored = np.dtype(np.uint32) if impl else array.dtype
    return StagedArray(
        name=stored_name(path, leaf),
        shape=(*leaf.aval.shape, *words),
        dtype=stored,
        write_shape=shard,
        chunk_shape=chunk_shape(shard, stored.itemsize),
        key_impl=dtypes.KEY_IMPLS[impl] if impl else None,
        digest=digest(array),
        sharding=sharding,
    )


def chunk_shape(shard: tuple[int, ...], itemsize: int, limit: int = CHUNK_BYTES) -> tuple[int, ...]:
    """One shard, or an even part of it of at most `limit` bytes: the largest dimension is divided first."""
    chunk = list(shard)
    while chunk and np.prod(chunk, dtype=object) * itemsize > limit:
        axis = max(range(len(chunk)), key=lambda i: chunk[i])
        chunk[axis] //= _smallest_factor(chunk[axis])
    return tuple(chunk)


def _smallest_factor(number: int) -> int:
    return next((f for f in range(2, int(number**0.5) + 1) if number % f == 0), number)


def _zarr2_metadata(staged: StagedArray) -> dict[str, Any]:
    chunks = [max(size, 1) for size in staged.chunk_shape]
    return {"shape": staged.shape, "chunks": chunks, "compressor": {"id": "zstd", "level": 1}}


def _zarr3_metadata(staged: StagedArray) -> dict[str, Any]:
    shard = [max(size, 1) for size in staged.write_shape]
    chunk = [max(size, 1) for size in staged.chunk_shape]
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    inner = [little, {"name": "zstd", "configuration": {"level": 1}}]
    sharding = {"chunk_shape": chunk, "codecs": inner, "index_codecs": [little, {"name": "crc32c"}]}
    return {
        "shape": staged.shape,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
    }
