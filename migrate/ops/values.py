"""Converts numbers to other dtypes, and checks whether they are the same afterward, or were only rounded.

NumPy and ml_dtypes wrap, saturate, overflow to infinity or NaN and drop imaginary parts, each in its own cases, and the
result for a float beyond an integer's range depends on the processor. A round trip therefore proves nothing; values are
compared in a type that represents both sides exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.dtypes import int_bounds, kind

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def convert(array: Array, dtype: str) -> Array:
    """Converts to another dtype without checking values; complex numbers lose their imaginary part."""
    import numpy as np

    source = dtypes.from_numpy(array.dtype)
    with np.errstate(all="ignore"):
        if kind(source) == "complex" and kind(dtype) == "bool":
            return np.not_equal(array, 0)
        if kind(source) == "complex" and kind(dtype) != "complex":
            array = array.real
        if _is_small(source) and _is_small(dtype):
            # ml_dtypes lacks some casts among its small types; these two represent all of their values.
            array = array.astype(np.float32 if "float" in (kind(source), kind(dtype)) else np.int8)
        return array.astype(dtypes.to_numpy(dtype))


def rounded_once(values: Array, dtype: str) -> Array:
    """Rounds float64 numbers to the nearest of a real floating-point dtype, ties to even.

    ml_dtypes rounds to float32 first, where a number close to a tie becomes the tie. Rounding to odd keeps it on its
    side: float32 has more than twice the digits of these dtypes.
    """
    import numpy as np

    if dtype in ("float16", "float32", "float64"):
        return convert(values, dtype)
    with np.errstate(all="ignore"):
        near = values.astype(np.float32)
        wide = near.astype(np.float64)
        inexact = (wide != values) & np.isfinite(near)
        beyond = np.abs(wide) > np.abs(values)
        bits = near.view(np.uint32)
        odd = np.where(inexact, (bits - beyond.astype(np.uint32)) | np.uint32(1), bits)
    return convert(odd.view(np.float32), dtype)


def _is_small(dtype: str) -> bool:
    return dtypes.item_bytes(dtype) == 1 and dtype not in ("bool", "int8", "uint8")


def unchanged(before: Array, after: Array) -> Array:
    """Compares two numeric arrays of one shape; the result is a boolean array.

    Zeros must have the same sign (an integer has no -0), any NaN equals any NaN, and a missing imaginary part is +0.
    """
    import numpy as np

    with np.errstate(all="ignore"):
        if "c" in (before.dtype.kind, after.dtype.kind):
            (a_real, a_imag), (b_real, b_imag) = _parts(before), _parts(after)
            same: Array = unchanged(a_real, b_real) & _same_floats(a_imag, b_imag)
            return same
        a_float, b_float = _is_float(before), _is_float(after)
        if a_float and b_float:
            return _same_floats(before, after)
        if not a_float and not b_float:
            return _same_integers(before, after)
        return _same_mixed(before, after) if a_float else _same_mixed(after, before)


def _is_float(array: Array) -> bool:
    return kind(dtypes.from_numpy(array.dtype)) == "float"


def _parts(array: Array) -> tuple[Array, Array]:
    import numpy as np

    if array.dtype.kind == "c":
        return array.real, array.imag
    return array, np.zeros(array.shape, np.float32)


def _same_floats(a: Array, b: Array) -> Array:
    import numpy as np

    wide, bits = (np.float64, np.uint64) if 8 in (a.itemsize, b.itemsize) else (np.float32, np.uint32)
    a, b = a.astype(wide, copy=False), b.astype(wide, copy=False)
    same: Array = a.view(bits) == b.view(bits)
    # Most pieces have no NaN and no change.
    return same if same.all() else same | (np.isnan(a) & np.isnan(b))


def _same_integers(a: Array, b: Array) -> Array:
    import numpy as np

    # Equal modulo 2**64 and of one sign is equal; a uint64 beyond int64 wraps to a negative number here.
    a_wide, b_wide = a.astype(np.int64), b.astype(np.int64)
    same: Array = (a_wide == b_wide) & (_negative(a, a_wide) == _negative(b, b_wide))
    return same


def _negative(array: Array, wide: Array) -> Array | bool:
    negative: Array = wide < 0
    return negative if kind(dtypes.from_numpy(array.dtype)) == "int" else False


def _same_mixed(floats: Array, integers: Array) -> Array:
    import numpy as np

    low, high = int_bounds(dtypes.from_numpy(integers.dtype))
    x = floats.astype(np.float64)
    # Both bounds are powers of two (or 0), and so exact as floats; NaN is in no range.
    fits = (x >= float(low)) & (x < float(high + 1)) & (np.floor(x) == x) & ~((x == 0) & np.signbit(x))
    wide = np.int64 if low < 0 else np.uint64
    same: Array = fits & (np.where(fits, x, 0).astype(wide) == integers.astype(wide))
    return same


def only_rounded(wanted: Array, held: Array) -> Array:
    """Where real `held` is `wanted` (float64) within the precision of its dtype: neither overflow nor saturation.

    Infinity and NaN must be equal; every other number may differ by the largest error of rounding a number in range to
    nearest, or by half the smallest number of the dtype.
    """
    import ml_dtypes
    import numpy as np

    info = ml_dtypes.finfo(held.dtype)
    half, least = float(info.eps) / 2, float(info.smallest_subnormal) / 2
    # The worst case is the middle between 1 and the next number; the last factor covers the rounding of this line.
    ratio = half / (1 + half) * 1.001
    with np.errstate(all="ignore"):
        got = held.astype(np.float64)
        same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
        near = np.isfinite(wanted) & (np.abs(got - wanted) <= np.maximum(np.abs(wanted) * ratio, least))
    close: Array = same | near
    return close
