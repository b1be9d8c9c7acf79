"""The record of a stored array: its name, shape, chunks, digest and sharding, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from migrate import dtypes
from migrate.formats.digest_record import Blocks
from migrate.tree import Sharding


@dataclass(frozen=True, slots=True)
class StagedArray:
    """The record of an array in a staging store: the commit reads it, the journal keeps it.

    Attributes:
      name: its stored name.
      shape, dtype: as stored: a typed key has its words as a last dimension of uint32.
      write_shape, chunk_shape: one shard, and one chunk.
      key_impl: JAX's name of the key implementation, for typed keys.
      digest: `xxh3:` and the hash of its little-endian bytes in C order.
      sharding: its placement on a mesh; None adapts to the devices that restore it.
      blocks: the digests of its blocks (`migrate.formats.digest_record`); None where no byte was decoded.
      compared: whether what it was made from was compared with digests that the source records.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    write_shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    key_impl: str | None
    digest: str
    sharding: Sharding | None
    blocks: Blocks | None = None
    compared: bool = False

    def to_json(self) -> dict[str, Any]:
        """Returns the record as plain JSON values."""
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
            "blocks": self.blocks,
            "compared": self.compared,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> StagedArray:
        """Returns the record that `to_json` returned, also after a round trip through text.

        Raises:
          KeyError: a field is missing, or no leaf can have this dtype.
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
            blocks=None if fields["blocks"] is None else tuple(fields["blocks"]),
            compared=fields.get("compared", False),  # absent where an earlier version of migrate staged the array
        )


def _sharding(fields: Mapping[str, Any] | None) -> Sharding | None:
    if fields is None:
        return None
    mesh = tuple((name, size) for name, size in fields["mesh"])
    return Sharding(mesh, tuple(None if axes is None else tuple(axes) for axes in fields["spec"]))
