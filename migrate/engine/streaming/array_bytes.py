"""The bytes of an array as they are stored and digested: C order, little-endian, typed keys as their words."""

from __future__ import annotations

from typing import Any

import numpy as np
import xxhash

from migrate import dtypes

Array = np.ndarray[Any, Any]

_PANEL = 64
"""Columns that are copied together, so that their cache lines are used up before they are evicted."""


class Digest:
    """`xxh3:` and the hash of an array's little-endian bytes in C order, from parts in that order."""

    def __init__(self) -> None:
        self._state = xxhash.xxh3_128()

    def update(self, part: Array) -> None:
        """Adds the next part."""
        self._state.update(raw_bytes(part))

    def __str__(self) -> str:
        return f"xxh3:{self._state.hexdigest()}"


def digest(array: Array) -> str:
    """Returns `xxh3:` and the hash of an array's little-endian bytes in C order."""
    whole = Digest()
    whole.update(array)
    return str(whole)


def raw_bytes(array: Array) -> memoryview:
    """Returns the bytes of an array in C order, little-endian; no copy is made where they are stored so already."""
    whole = contiguous(array)
    little = whole if whole.dtype.byteorder != ">" else whole.astype(whole.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def contiguous(array: Array) -> Array:
    """Returns the array in C order: itself where it is in C order already, else a copy.

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
    """Returns what is stored for an array: the array itself, or the words of typed keys."""
    impl = dtypes.key_impl(dtypes.from_numpy(array.dtype))
    return array if impl is None else np.asarray(array[impl])
