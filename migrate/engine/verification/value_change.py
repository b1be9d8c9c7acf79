"""How the values of one leaf differ from expected ones, measured part by part, so that the leaf may exceed memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from migrate import dtypes
from migrate.engine.streaming.array_bytes import stored_form
from migrate.formats.base import Value

Array = np.ndarray[Any, Any]

PART_ELEMENTS = 1 << 20
"""The elements that are widened at once."""


@dataclass(frozen=True, slots=True)
class ValueChange:
    """The difference between the expected and the found values of one leaf.

    Attributes:
      elements: the number of values.
      differing: the number of values that differ in any bit; of two dtypes, the number of unequal values.
      largest: the largest |found − expected| of finite values; infinity where only one side is infinite. None for
        values that are not numbers.
      relative: the largest |found − expected| / |expected|, over the expected values that are not 0; None without any.
      norm, expected_norm: the Euclidean norms of the change and of the expected values, over finite values.
      nan: the numbers of NaN among the expected and among the found values.
    """

    elements: int
    differing: int
    largest: float | None = None
    relative: float | None = None
    norm: float = 0.0
    expected_norm: float = 0.0
    nan: tuple[int, int] = (0, 0)

    def __bool__(self) -> bool:
        """Whether any value differs."""
        return self.differing > 0

    def __add__(self, other: ValueChange) -> ValueChange:
        """Returns the change of both parts, or leaves, together."""
        return ValueChange(
            self.elements + other.elements,
            self.differing + other.differing,
            _largest(self.largest, other.largest),
            _largest(self.relative, other.relative),
            math.hypot(self.norm, other.norm),
            math.hypot(self.expected_norm, other.expected_norm),
            (self.nan[0] + other.nan[0], self.nan[1] + other.nan[1]),
        )

    def __str__(self) -> str:
        count = f"{self.differing:,} of {self.elements:,} values differ"
        nan = f", NaN {self.nan[0]:,} → {self.nan[1]:,}" if any(self.nan) else ""
        if self.largest is None:
            return count
        if self.largest == 0:
            cause = "" if self.nan[0] != self.nan[1] else " only in signs of zeros or bits of NaN"
            return f"{count}{cause}{nan}"
        relative = "" if self.relative is None else f" (relative {self.relative:.3g})"
        return f"{count}, max |Δ| {self.largest:.3g}{relative}, ‖Δ‖ {self.norm:.3g}{nan}"


EQUAL = ValueChange(0, 0)


def _largest(one: float | None, other: float | None) -> float | None:
    known = [value for value in (one, other) if value is not None]
    return max(known, default=None)


def measure(expected: Value, found: Value) -> ValueChange:
    """Returns how a value, or a part of one, differs from the expected one of the same shape."""
    if isinstance(expected, str) or isinstance(found, str) or expected is None or found is None:
        return ValueChange(1, int(expected != found))
    one, other = (stored_form(np.asarray(value)) for value in (expected, found))
    change = EQUAL
    for ours, theirs in zip(_parts(one), _parts(other), strict=True):
        change += _measure_part(ours, theirs)
    return change


def _parts(array: Array) -> Iterator[Array]:
    flat = array.reshape(-1)
    for start in range(0, max(flat.size, 1), PART_ELEMENTS):
        yield flat[start : start + PART_ELEMENTS]


def _measure_part(expected: Array, found: Array) -> ValueChange:
    one, other = widened(expected), widened(found)
    finite = np.isfinite(one)
    nan = int(np.isnan(one).sum()), int(np.isnan(other).sum())
    with np.errstate(invalid="ignore", over="ignore"):
        norm = float(np.linalg.norm(one[finite]))
    differs = _differs(expected, found, one, other)
    if not differs.any():
        return ValueChange(expected.size, 0, 0.0, None, 0.0, norm, nan)
    base, apart = np.abs(one[differs]), _apart(expected, found, one[differs], other[differs])
    measured = ~np.isnan(apart)
    ratio = apart[measured & (base > 0) & np.isfinite(base)] / base[measured & (base > 0) & np.isfinite(base)]
    return ValueChange(
        expected.size,
        int(differs.sum()),
        float(apart[measured].max(initial=0.0)),
        float(ratio.max()) if ratio.size else None,
        float(np.linalg.norm(apart[np.isfinite(apart)])),
        norm,
        nan,
    )


def _differs(expected: Array, found: Array, one: Array, other: Array) -> Array:
    """Returns which elements differ: in any bit for one dtype, else in their value."""
    if expected.dtype == found.dtype and expected.size:
        bits = (np.ascontiguousarray(side).view(np.uint8).reshape(side.size, -1) for side in (expected, found))
        return np.asarray(np.not_equal(*bits).any(axis=1))
    return np.asarray((one != other) & ~(np.isnan(one) & np.isnan(other)))


def _apart(expected: Array, found: Array, one: Array, other: Array) -> Array:
    """Returns |found − expected|; NaN where a side is NaN, 0 for equal infinities."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.where(one == other, 0.0, np.abs(other - one))
    if all(family(dtypes.from_numpy(side.dtype)) == "int" for side in (expected, found)):
        apart = np.maximum(apart, 1.0)  # different integers may round to the same float
    result: Array = apart.astype(np.float64)
    return result


def family(dtype: str) -> str:
    """Returns the kind of a dtype for comparison: precision does not matter, nor whether integers are signed."""
    return {"uint": "int"}.get(dtypes.kind(dtype), dtypes.kind(dtype))


def widened(array: Array) -> Array:
    """Returns the array in a dtype that holds differences exactly enough: `longdouble`, except floats and complex."""
    wide: dict[str, Any] = {"float": np.float64, "complex": np.complex128}
    with np.errstate(invalid="ignore"):  # signaling NaN
        return array.astype(wide.get(family(dtypes.from_numpy(array.dtype)), np.longdouble))
