"""Applies elementwise functions to large arrays piece by piece, so that temporaries stay small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Array = np.ndarray[Any, Any]

CHUNK = 1 << 18
"""Elements of one piece: several pieces in float64 fit in a processor's cache."""


def map_chunks(change: Callable[[Array, int], Array], array: Array) -> Array:
    """A new array of `array`'s shape from an elementwise function.

    Args:
      change: takes a contiguous 1-d piece and the index of its first element in row-major order; returns a new piece of
        the same size, always of the same dtype, and leaves its argument unchanged.
      array: any shape and memory order.
    """
    import numpy as np

    # `flat` copies a piece at a time where `reshape` would copy the whole array.
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    first = change(flat[:CHUNK], 0)
    result = np.empty(array.shape, first.dtype)
    out = result.reshape(-1)
    out[:CHUNK] = first
    for start in range(CHUNK, array.size, CHUNK):
        out[start : start + CHUNK] = change(flat[start : start + CHUNK], start)
    return result
