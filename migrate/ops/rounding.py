"""How many numbers of a floating-point dtype an op changes on the way there and back, computed on the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.ops.values import rounded_once

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Array = np.ndarray[Any, Any]

_MOST_NUMBERS = 4096
"""The most numbers that are tried; of more, a sample."""

_STRIDE = 0x9E3779B97F4A7C15
"""Odd, so that the digits of a sample are as varied as those of all numbers."""


def smallest_normal(dtype: str) -> float:
    """Returns the smallest positive number that a floating-point or complex dtype represents in full precision."""
    import ml_dtypes

    return float(ml_dtypes.finfo(dtypes.to_numpy(dtype)).smallest_normal)


def unrestored(
    dtype: str, noun: str, exponent: int, there: Callable[[Array], Array], back: Callable[[Array], Array]
) -> str:
    """Returns how many of the numbers from 2**exponent to twice that are not restored, as a clause; empty where
    the dtype has no such numbers.

    Args:
      dtype: a floating-point or complex dtype.
      noun: what the clause calls the numbers; `{}` stands for the dtype.
      exponent: such that these numbers and the results are in the range of the dtype.
      there: computes the result of the op in float64.
      back: computes the result of its inverse in float64.
    """
    import ml_dtypes
    import numpy as np

    name = dtypes.from_numpy(np.zeros(0, dtypes.to_numpy(dtype)).real.dtype)
    total = 2 ** int(ml_dtypes.finfo(dtypes.to_numpy(name)).nmant)
    count = min(total, _MOST_NUMBERS)
    digits = np.arange(count, dtype=np.uint64) * np.uint64(_STRIDE) % np.uint64(total)
    before = (1 + digits / total) * 2.0**exponent

    def rounded(values: Array) -> Array:
        return rounded_once(values, name).astype(np.float64)

    if (rounded(before) != before).any():
        return ""
    changed = int((rounded(back(rounded(there(before)))) != before).sum())
    few = f"{changed:,} of {count:,}{' sampled' if count < total else ''}"
    return f"the inverse does not restore {few} {noun.format(name)}"
