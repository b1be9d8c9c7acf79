"""An array as it is stored: its name, its chunks, its codec, and the digest of its bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

from migrate import dtypes
from migrate.tree import AbstractLeaf, KeyPath, Sharding, stored_path

Array = np.ndarray[Any, Any]

CHUNK_BYTES = 256 << 20
"""No chunk is larger: who reads a part of an array has to decode whole chunks."""

_PANEL = 64
"""Columns that are copied together: their cache lines are used up before they are pushed out."""


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

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        sharding = self.sharding and {"mesh": self.sharding.mesh, "spec": self.sharding.spec}
        return {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            "write_shape": list(self.write_shape),
            "chunk_shape": list(self.chunk_shape),
            "key_impl": self.key_impl,
            "digest": self.digest,
            "sharding": sharding,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> StagedArray:
        """What `to_json` made, also after it was text.

        Raises:
          KeyError: a field is missing, or the dtype is none that a leaf can have.
        """
        return cls(
            name=fields["name"],
            shape=tuple(fields["shape"]),
            dtype=dtypes.to_numpy(fields["dtype"]),
            write_shape=tuple(fields["write_shape"]),
            chunk_shape=tuple(fields["chunk_shape"]),
            key_impl=fields["key_impl"],
            digest=fields["digest"],
            sharding=_sharding(fields["sharding"]),
        )


def _sharding(fields: Mapping[str, Any] | None) -> Sharding | None:
    if fields is None:
        return None
    mesh = tuple((name, size) for name, size in fields["mesh"])
    return Sharding(mesh, tuple(None if axes is None else tuple(axes) for axes in fields["spec"]))


def stored_name(path: KeyPath, leaf: AbstractLeaf) -> str:
    """The name under which Orbax stores a leaf: its key path and Flax's level below it, joined with `.`."""
    return ".".join(stored_path(path, leaf))


class Digest:
    """`xxh3:` of an array's little-endian bytes in C order, from parts that come in that order."""

    def __init__(self) -> None:
        self._state = xxhash.xxh3_128()

    def update(self, part: Array) -> None:
        """Takes in the next part."""
        little = part if part.dtype.byteorder != ">" else part.astype(part.dtype.newbyteorder("<"))
        self._state.update(contiguous(little).reshape(-1).view(np.uint8).data)

    def __str__(self) -> str:
        return f"xxh3:{self._state.hexdigest()}"


def digest(array: Array) -> str:
    """`xxh3:` of an array's little-endian bytes in C order."""
    whole = Digest()
    whole.update(array)
    return str(whole)


def contiguous(array: Array) -> Array:
    """The array in C order, itself if it is so already.

    A transposed matrix is copied a few columns at a time, three times as fast as all at once.
    """
    if array.flags.c_contiguous:
        return array
    if array.ndim < 2 or abs(array.strides[-1]) <= array.itemsize:
        return np.ascontiguousarray(array)
    result = np.empty(array.shape, array.dtype)
    for start in range(0, array.shape[-1], _PANEL):
        result[..., start : start + _PANEL] = array[..., start : start + _PANEL]
    return result


def stored_form(array: Array) -> Array:
    """What is stored for an array: itself, or for typed keys their words."""
    impl = dtypes.key_impl(dtypes.from_numpy(array.dtype))
    return array if impl is None else np.asarray(array[impl])


def describe(
    path: KeyPath, leaf: AbstractLeaf, dtype: np.dtype[Any], value_digest: str, tile: tuple[int, ...] | None = None
) -> StagedArray:
    """How an array of a leaf is stored.

    Args:
      path: its key path in its item.
      leaf: the target's leaf; its sharding decides the chunks.
      dtype: the dtype of the value.
      value_digest: its digest.
      tile: the shape of a tile where the array is written tile by tile; a chunk is that, or as much of it as is in
        one shard.
    """
    assert leaf.aval is not None
    impl = dtypes.key_impl(leaf.aval.dtype)
    words = (dtypes.KEY_WORDS[impl],) if impl else ()
    shard = shard_shape(leaf) + words
    stored = np.dtype(np.uint32) if impl else dtype
    part = tuple(map(min, (tile or ()) + words, shard))
    return StagedArray(
        name=stored_name(path, leaf),
        shape=(*leaf.aval.shape, *words),
        dtype=stored,
        write_shape=shard if tile is None else part,
        chunk_shape=chunk_shape(shard, stored.itemsize) if tile is None else part,
        key_impl=dtypes.KEY_IMPLS[impl] if impl else None,
        digest=value_digest,
        sharding=leaf.sharding if leaf.sharding and leaf.sharding.placed else None,
    )


def shard_shape(leaf: AbstractLeaf) -> tuple[int, ...]:
    """The shape of one device's part of a leaf; the whole shape without a sharding."""
    assert leaf.aval is not None
    placed = leaf.sharding is not None and leaf.sharding.placed
    return leaf.sharding.shard_shape(leaf.aval.shape) if leaf.sharding and placed else leaf.aval.shape


def chunk_shape(
    shard: tuple[int, ...], itemsize: int, limit: int = CHUNK_BYTES, *, square: bool = False
) -> tuple[int, ...]:
    """One shard, or an even part of it of at most `limit` bytes.

    Args:
      shard: a shape.
      itemsize: bytes of an element.
      limit: bytes of the part.
      square: whether the largest axis is divided first, for reading in any order; else the first one is, so that
        the part is a slab in C order.
    """
    chunk = list(shard)
    while chunk and (times := math.prod(chunk) * itemsize / limit) > 1:
        axis = _axis_to_divide(chunk, times, square=square)
        chunk[axis] //= _smallest_factor(chunk[axis])
    return tuple(chunk)


def _axis_to_divide(chunk: list[int], times: float, *, square: bool) -> int:
    """The first axis in order whose division does not leave far less than the limit: a large prime is not divided."""
    axes = [axis for axis, size in enumerate(chunk) if size > 1]
    if square:
        axes.sort(key=lambda axis: -chunk[axis])
    factors = {axis: _smallest_factor(chunk[axis]) for axis in axes}
    return next((axis for axis in axes if factors[axis] <= 2 * times), min(axes, key=lambda axis: factors[axis]))


def _smallest_factor(number: int) -> int:
    return next((f for f in range(2, int(number**0.5) + 1) if number % f == 0), number)


def array_metadata(staged: StagedArray, codec: str, *, zarr3: bool) -> dict[str, Any]:
    """The zarr metadata of an array, for TensorStore."""
    return _zarr3_metadata(staged, codec) if zarr3 else _zarr2_metadata(staged, codec)


CODECS = ("zstd", "gzip", "none")
"""What arrays can be encoded with; blosc has more settings than a name and a level."""


def _compressor(codec: str) -> tuple[str, int] | None:
    """The name and level of `NAME:LEVEL`; None for `none`."""
    name, _, level = codec.partition(":")
    return None if name == "none" else (name, int(level or 1))


def _zarr2_metadata(staged: StagedArray, codec: str) -> dict[str, Any]:
    compressor = _compressor(codec)
    fields = None if compressor is None else dict(zip(("id", "level"), compressor, strict=True))
    chunks = [max(size, 1) for size in staged.chunk_shape]
    return {"shape": staged.shape, "chunks": chunks, "compressor": fields}


def _zarr3_metadata(staged: StagedArray, codec: str) -> dict[str, Any]:
    compressor = _compressor(codec)
    shard = [max(size, 1) for size in staged.write_shape]
    chunk = [max(size, 1) for size in staged.chunk_shape]
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    inner = [little]
    if compressor is not None:
        inner.append({"name": compressor[0], "configuration": {"level": compressor[1]}})
    sharding = {"chunk_shape": chunk, "codecs": inner, "index_codecs": [little, {"name": "crc32c"}]}
    return {
        "shape": staged.shape,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
    }
