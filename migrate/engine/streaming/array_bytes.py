"""The bytes of an array as they are stored and digested: C order, little-endian, typed keys as their words."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import xxhash

from migrate import dtypes
from migrate.engine.streaming.strided_copy import copy_into
from migrate.formats.base import Value
from migrate.formats.digest_record import BLOCK_BYTES, Blocks
from migrate.tree import AbstractLeaf

Array = np.ndarray[Any, Any]

_PIECE_BYTES = 256 << 10
"""The bytes that are hashed in all ways before the next ones are: they stay in the processor's cache."""


class Digest:
    """`xxh3:` and the hash of an array's little-endian bytes in C order, from parts in that order.

    The digests of its blocks come with it (`migrate.formats.digest_record`). The first block is hashed once for both.
    """

    def __init__(self, *, crc: bool = True, blocks: bool = True, whole: bool = True) -> None:
        """Begins a digest.

        Args:
          crc: whether the digests of blocks contain the CRC-32 that a record needs, and not only the XXH3-128.
          blocks: whether there are digests of blocks; without them, bytes are hashed once instead of up to three times.
          whole: whether there is a hash of the whole array, and not only those of its blocks.
        """
        self._whole: Any = None
        self._with_blocks = blocks
        self._blocks: list[str] = []
        self._block, self._crc, self._filled = xxhash.xxh3_128(), 0, 0
        self._with_crc = crc
        self._with_whole = whole

    def update(self, part: Array) -> None:
        """Adds the next part."""
        left = raw_bytes(part)
        if not self._with_blocks:
            self._block.update(left)
            return
        while left:
            count = min(_PIECE_BYTES, BLOCK_BYTES - self._filled)
            piece, left = left[:count], left[count:]
            self._block.update(piece)
            if self._whole is not None:
                self._whole.update(piece)
            if self._with_crc:
                self._crc = zlib.crc32(piece, self._crc)
            self._filled += len(piece)
            if self._filled == BLOCK_BYTES:
                self._end_block()

    def _end_block(self) -> None:
        self._blocks.append(self._last_block())
        if self._with_whole:
            self._whole = self._whole or self._block.copy()
        self._block, self._crc, self._filled = xxhash.xxh3_128(), 0, 0

    def _last_block(self) -> str:
        return (f"{self._crc:08x}" if self._with_crc else "") + str(self._block.hexdigest())

    @property
    def blocks(self) -> Blocks:
        """The digests of the blocks so far; the last block may be smaller than the others."""
        if not self._with_blocks:
            return ()
        return (*self._blocks, self._last_block()) if self._filled else tuple(self._blocks)

    def __str__(self) -> str:
        return f"xxh3:{(self._whole or self._block).hexdigest()}"


def digest(array: Array) -> str:
    """Returns `xxh3:` and the hash of an array's little-endian bytes in C order."""
    return str(digest_of(array))


def digest_of(array: Array) -> Digest:
    """Returns the digests of an array and of its blocks."""
    whole = Digest()
    whole.update(array)
    return whole


def value_blocks(value: Value, leaf: AbstractLeaf, *, crc: bool = True) -> Blocks:
    """Returns the digests of the blocks of a value in memory; none for a leaf without data.

    Args:
      value: the value.
      leaf: its leaf.
      crc: whether the digests of arrays are complete, as a record needs them.
    """
    if leaf.kind == "string":
        return text_blocks(value)
    if not leaf.is_numeric or leaf.aval is None:
        return ()
    array = np.asarray(value)
    if leaf.kind == "scalar":
        array = np.asarray(value, dtypes.to_numpy(leaf.aval.dtype))
    found = Digest(crc=crc, whole=False)
    found.update(stored_form(array))
    return found.blocks


def text_blocks(text: str) -> Blocks:
    """Returns the digests of the blocks of a string, in UTF-8."""
    return digest_of(np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)).blocks


def raw_bytes(array: Array) -> memoryview:
    """Returns the bytes of an array in C order, little-endian; no copy is made where they are stored so already."""
    whole = contiguous(array)
    little = whole if whole.dtype.byteorder != ">" else whole.astype(whole.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def contiguous(array: Array) -> Array:
    """Returns the array in C order: itself where it is in C order already, else a copy."""
    if array.flags.c_contiguous:
        return array
    result = np.empty(array.shape, array.dtype)
    copy_into(result, array)
    return result


def stored_form(array: Array) -> Array:
    """Returns what is stored for an array: the array itself, or the words of typed keys."""
    impl = dtypes.key_impl(dtypes.from_numpy(array.dtype))
    return array if impl is None else np.asarray(array[impl])
