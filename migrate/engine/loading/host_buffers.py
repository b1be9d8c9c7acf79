"""Host memory from which arrays are placed on devices.

JAX takes a buffer that is aligned to 64 bytes over as the array on a CPU; it copies any other one. So a buffer of this
module belongs to one array and is never written to again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from migrate.engine.streaming.strided_copy import copy_into

Array = np.ndarray[Any, Any]

ALIGNMENT = 64
"""The alignment of buffers in bytes."""


def aligned(shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """Returns an uninitialized array in C order whose first byte is aligned."""
    nbytes = math.prod(shape) * dtype.itemsize
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    skip = -raw.ctypes.data % ALIGNMENT
    return raw[skip : skip + nbytes].view(dtype).reshape(tuple(shape))


def aligned_copy(array: Array) -> Array:
    """Returns a copy of an array in an aligned buffer, in the byte order of the machine."""
    result = aligned(array.shape, array.dtype.newbyteorder("=") if array.dtype.byteorder == ">" else array.dtype)
    copy_into(result, array)
    return result
