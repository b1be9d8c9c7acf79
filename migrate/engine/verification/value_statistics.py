"""Statistics of the values of an array: range, mean, spread and a histogram, from parts in any order.

Statistics of parts add up to those of the whole, so that an array larger than memory is read once. Counts, the range
and the histogram are exact, however the array is divided; the mean and the standard deviation may differ in the last
digits of float64. Bins have widths of powers of two and edges at multiples of their width, so that those of a wider
range are unions of those of a narrower one, and no value needs to be read again when the range grows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from migrate import dtypes

Array = np.ndarray[Any, Any]
Number = int | float

MOST_BINS = 24
"""The most bins of a histogram; those over a range are at least half as many, unless the values are few integers."""

PART_ELEMENTS = 1 << 17
"""The elements that are widened at once: 1 MiB of float64, which stays in the processor's cache."""

_COUNTED_ELEMENTS = 1 << 20
"""The elements of 8 or 16 bits whose patterns are counted at once."""

_LEAST_COUNTED = 1 << 16
_LEAST_EXPONENT = -1074
"""The exponent of the smallest float64: every float64 is a multiple of it."""

_SAFE_EXPONENT = 400
"""The largest exponent of values whose squares and sums are computed without scaling."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """The numbers of values in consecutive bins of equal width.

    Attributes:
      exponent: the width of a bin is 2 to the power of it.
      first: the first bin begins at `first` widths.
      counts: the numbers of values; a bin includes its lower edge, and not its upper one.
    """

    exponent: int
    first: int
    counts: tuple[int, ...]

    @property
    def edges(self) -> tuple[Fraction, Fraction]:
        """The lower edge of the first bin, and the upper edge of the last one."""
        width = Fraction(2) ** self.exponent
        return self.first * width, (self.first + len(self.counts)) * width

    def coarsened(self, exponent: int, first: int, bins: int) -> list[int]:
        """Returns the counts in wider bins, which contain all of its own."""
        counts = [0] * bins
        for number, count in enumerate(self.counts):
            counts[((self.first + number) >> (exponent - self.exponent)) - first] += count
        return counts


@dataclass(frozen=True, slots=True)
class ValueStatistics:
    """Statistics of the values of an array, or of several. A complex number counts by its absolute value.

    Attributes:
      elements: the number of values.
      nan: the number of NaN.
      negative_infinities, positive_infinities: the numbers of infinite values.
      zeros: the number of zeros.
      low, high: the smallest and the largest finite value; None without any.
      total: the sum of the finite values, each part of which is rounded to float64 once; exact for integers.
      spread: the standard deviation of the finite values; see `std`.
      histogram: of the finite values; None without any.
    """

    elements: int = 0
    nan: int = 0
    negative_infinities: int = 0
    positive_infinities: int = 0
    zeros: int = 0
    low: Number | None = None
    high: Number | None = None
    total: Fraction = Fraction()
    spread: float = 0.0
    histogram: Histogram | None = None

    @property
    def finite(self) -> int:
        """The number of finite values."""
        return self.elements - self.nan - self.negative_infinities - self.positive_infinities

    @property
    def mean(self) -> float | None:
        """The mean of the finite values; None without any. Rounding does not take it out of their range."""
        if self.low is None or self.high is None:
            return None
        return float(min(max(self.total / self.finite, Fraction(self.low)), Fraction(self.high)))

    @property
    def std(self) -> float | None:
        """The standard deviation of the finite values, as `numpy.std` computes it; None without any."""
        if self.low is None or self.high is None:
            return None
        return 0.0 if self.low == self.high else self.spread

    def __add__(self, other: ValueStatistics) -> ValueStatistics:
        """Returns the statistics of the values of both."""
        if not self.elements or not other.elements:
            return self if self.elements else other
        ranges = [one for one in (self, other) if one.low is not None and one.high is not None]
        low = min((one.low for one in ranges if one.low is not None), default=None)
        high = max((one.high for one in ranges if one.high is not None), default=None)
        return ValueStatistics(
            self.elements + other.elements,
            self.nan + other.nan,
            self.negative_infinities + other.negative_infinities,
            self.positive_infinities + other.positive_infinities,
            self.zeros + other.zeros,
            low,
            high,
            self.total + other.total,
            _joined_spread(*ranges) if len(ranges) == 2 else max(self.spread, other.spread),
            _joined_histogram(low, high, (one.histogram for one in ranges)),
        )


NO_VALUES = ValueStatistics()
"""The statistics of no values."""


def _joined_spread(one: ValueStatistics, other: ValueStatistics) -> float:
    """Returns the standard deviation of two groups of values (Chan, Golub and LeVeque, 1979), without overflow."""
    count = one.finite + other.finite
    half_apart = float((one.total / one.finite - other.total / other.finite) / 2)
    return math.hypot(
        one.spread * math.sqrt(one.finite / count),
        other.spread * math.sqrt(other.finite / count),
        half_apart * (2 * math.sqrt(one.finite) * math.sqrt(other.finite) / count),
    )


def _joined_histogram(
    low: Number | None, high: Number | None, histograms: Iterable[Histogram | None]
) -> Histogram | None:
    found = [one for one in histograms if one is not None]
    if low is None or high is None or len(found) < 2:
        return found[0] if found else None
    exponent = max(grid_exponent(low, high), *(one.exponent for one in found))
    first, bins = _grid(low, high, exponent)
    counts = (one.coarsened(exponent, first, bins) for one in found)
    return Histogram(exponent, first, tuple(map(sum, zip(*counts, strict=True))))


def grid_exponent(low: Number, high: Number) -> int:
    """Returns the exponent of the smallest width of which at most `MOST_BINS` bins contain a range.

    The bins of integers are at least one wide, and those of a single float as narrow as float64 allows.
    """
    least = 0 if isinstance(low, int) and isinstance(high, int) else _LEAST_EXPONENT
    width = (Fraction(high) - Fraction(low)) / MOST_BINS
    if not width:
        return least
    exponent = width.numerator.bit_length() - width.denominator.bit_length() - 1
    exponent = max(exponent, least)
    while _grid(low, high, exponent)[1] > MOST_BINS:
        exponent += 1
    return exponent


def _grid(low: Number, high: Number, exponent: int) -> tuple[int, int]:
    """Returns the number of the first bin that a range needs, and the number of its bins."""
    width = Fraction(2) ** exponent
    first, last = (math.floor(Fraction(end) / width) for end in (low, high))
    return first, last - first + 1


def statistics_of(array: Array) -> ValueStatistics:
    """Returns the statistics of an array of numbers or bools, or of a part of one."""
    found = NO_VALUES
    for values, counts in _groups(array.reshape(-1)):
        if dtypes.kind(dtypes.from_numpy(values.dtype)) in ("bool", "int", "uint"):
            found += _of_integers(values, counts)
        else:
            found += _of_floats(values, counts)
    return found


def _groups(flat: Array) -> Iterator[tuple[Array, Array | None]]:
    """Yields values with the number of times that each occurs (None: once), so that all are covered."""
    if flat.dtype.itemsize > 2 or flat.size < _LEAST_COUNTED:
        for start in range(0, flat.size, PART_ELEMENTS):
            yield flat[start : start + PART_ELEMENTS], None
        return
    patterns = np.ascontiguousarray(flat).view(f"u{flat.dtype.itemsize}")
    for start in range(0, flat.size, _COUNTED_ELEMENTS):
        counts = np.bincount(patterns[start : start + _COUNTED_ELEMENTS])
        present = np.flatnonzero(counts)
        yield present.astype(patterns.dtype).view(flat.dtype), counts[present]


def _of_integers(values: Array, counts: Array | None) -> ValueStatistics:
    """Returns the statistics of a few integers; their distances from the smallest one, as uint64, are exact."""
    unsigned = dtypes.kind(dtypes.from_numpy(values.dtype)) == "uint"
    wide = values.astype(np.uint64 if unsigned else np.int64)
    low, high = int(wide.min()), int(wide.max())
    apart = wide.view(np.uint64) - np.uint64(low % (1 << 64))
    exponent = grid_exponent(low, high)
    first, bins = _grid(low, high, exponent)
    places = (apart + np.uint64(low - (first << exponent))) >> np.uint64(exponent)
    finite = _number(counts, wide)
    above = _exact_sum(apart, counts)
    return ValueStatistics(
        elements=finite,
        zeros=_number(counts, wide, wide == 0),
        low=low,
        high=high,
        total=Fraction(low * finite + above),
        spread=_spread(apart.astype(np.float64), above / finite, counts),
        histogram=Histogram(exponent, first, _counted(places.astype(np.intp), bins, counts)),
    )


def _exact_sum(apart: Array, counts: Array | None) -> int:
    """Returns the sum of unsigned integers, whose halves of 32 bits cannot overflow."""
    weights = np.uint64(1) if counts is None else counts.astype(np.uint64)
    high, low = ((half * weights).sum(dtype=np.uint64) for half in (apart >> np.uint64(32), apart & np.uint64(_HALF)))
    return (int(high) << 32) + int(low)


_HALF = (1 << 32) - 1


def _of_floats(values: Array, counts: Array | None) -> ValueStatistics:
    """Returns the statistics of a few floats or complex numbers."""
    wide = _widened(values)
    finite = np.isfinite(wide)
    others = ValueStatistics(elements=_number(counts, wide))
    if not finite.all():
        others = ValueStatistics(
            elements=others.elements,
            nan=_number(counts, wide, np.isnan(wide)),
            negative_infinities=_number(counts, wide, wide == -np.inf),
            positive_infinities=_number(counts, wide, wide == np.inf),
        )
        wide, counts = wide[finite], None if counts is None else counts[finite]
    if not wide.size:
        return others
    low, high = float(wide.min()) + 0.0, float(wide.max()) + 0.0  # no -0.0, which a part may have and another not
    exponent = grid_exponent(low, high)
    first, bins = _grid(low, high, exponent)
    if bins == 1:
        tally: tuple[int, ...] = (_number(counts, wide),)
    else:
        places = np.ldexp(wide, -exponent)
        np.floor(places, out=places)
        if exponent > 0 and low < 0:  # a small negative value may have become -0.0
            places = np.where(wide < 0, np.minimum(places, -1.0), places)
        places -= float(first)
        tally = _counted(places.astype(np.intp), bins, counts)
    total, spread = _moments(wide, counts, max(abs(low), abs(high)))
    return replace(
        others,
        zeros=_number(counts, wide, wide == 0),
        low=low,
        high=high,
        total=total,
        spread=spread,
        histogram=Histogram(exponent, first, tally),
    )


def _widened(values: Array) -> Array:
    """Returns floats as float64, and complex numbers as their absolute values."""
    with np.errstate(invalid="ignore", over="ignore"):  # signaling NaN; absolute values beyond float64
        if values.dtype.kind != "c":
            return values.astype(np.float64)
        wide = np.abs(values.astype(np.complex128))
        wide = np.where(np.isfinite(values), np.minimum(wide, np.finfo(np.float64).max), wide)
        return np.where(np.isnan(values), np.nan, wide)


def _moments(wide: Array, counts: Array | None, largest: float) -> tuple[Fraction, float]:
    """Returns the sum and the standard deviation; values whose squares would leave the range are scaled first."""
    power = math.frexp(largest)[1]
    power = power if abs(power) > _SAFE_EXPONENT else 0
    scaled = np.ldexp(wide, -power) if power else wide
    total = float((scaled if counts is None else scaled * counts).sum())
    spread = _spread(scaled, total / _number(counts, wide), counts)
    return Fraction(total) * Fraction(2) ** power, math.ldexp(spread, power)


def _spread(wide: Array, mean: float, counts: Array | None) -> float:
    squares = wide - mean
    np.square(squares, out=squares)
    total = squares.sum() if counts is None else (squares * counts).sum()
    return math.sqrt(float(total) / _number(counts, wide))


def _number(counts: Array | None, values: Array, chosen: Array | None = None) -> int:
    """Returns the number of values, or of those that are chosen."""
    if counts is None:
        return values.size if chosen is None else int(np.count_nonzero(chosen))
    return int(counts.sum() if chosen is None else counts[chosen].sum())


def _counted(places: Array, bins: int, counts: Array | None) -> tuple[int, ...]:
    """Returns the number of values in each bin."""
    found = np.bincount(places, counts, bins)
    return tuple(int(one) for one in found)
