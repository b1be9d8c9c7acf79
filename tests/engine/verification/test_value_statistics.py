"""Statistics of values: an oracle over the whole array, and parts that add up to it."""

import itertools
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate import dtypes
from migrate.engine.verification import value_statistics
from migrate.engine.verification.value_statistics import MOST_BINS, NO_VALUES, grid_exponent, statistics_of
from tests.matrix import examples

NUMBERS = [name for name in dtypes.NAMES if dtypes.kind(name) != "key"]
COUNTS = ("elements", "nan", "negative_infinities", "positive_infinities", "zeros", "low", "high", "histogram")


def exact(array):
    """The finite values as fractions, by plain Python; a complex number counts by its absolute value."""
    if array.dtype.kind == "c":
        values = np.where(np.isnan(array), np.nan, np.abs(array.astype(np.complex128))).tolist()
    elif dtypes.kind(dtypes.from_numpy(array.dtype)) in ("bool", "int", "uint"):
        values = [int(value) for value in array.reshape(-1)]
    else:
        values = array.reshape(-1).astype(np.float64).tolist()
    return values, [Fraction(value) for value in values if math.isfinite(value)]


def agrees_with_oracle(array, found):
    """Compares statistics with those of every value of an array of one dimension."""
    values, finite = exact(array)
    assert len(values) == found.elements
    assert sum(value != value for value in values) == found.nan
    assert (values.count(-math.inf), values.count(math.inf)) == (found.negative_infinities, found.positive_infinities)
    assert sum(value == 0 for value in finite) == found.zeros
    assert (min(finite, default=None), max(finite, default=None)) == (found.low, found.high)
    if not finite:
        assert (None, None, None) == (found.mean, found.std, found.histogram)
        return
    mean = sum(finite) / len(finite)
    largest = max(map(abs, finite))
    assert abs(Fraction(found.mean) - mean) <= largest * Fraction(1, 10**12)
    variance = sum((value - mean) ** 2 for value in finite) / len(finite)
    apart = abs(Fraction(found.std) ** 2 - variance)
    assert apart <= (max(finite) - min(finite)) ** 2 * Fraction(1, 10**9) + Fraction(5, 10**324)
    in_bins(finite, found)


def in_bins(finite, found):
    histogram, width = found.histogram, Fraction(2) ** found.histogram.exponent
    assert len(histogram.counts) <= MOST_BINS
    assert histogram.counts[0] > 0 < histogram.counts[-1]
    expected = [0] * len(histogram.counts)
    for value in finite:
        expected[math.floor(value / width) - histogram.first] += 1
    assert tuple(expected) == histogram.counts


@st.composite
def arrays(draw):
    """An array of one dimension of any dtype, from any bit patterns; half of them have few distinct values."""
    dtype = dtypes.to_numpy(draw(st.sampled_from(NUMBERS)))
    if dtype == np.bool_:
        return np.array(draw(st.lists(st.booleans(), max_size=40)), bool)
    if dtypes.from_numpy(dtype) in dtypes.SUB_BYTE:
        return np.array(draw(st.lists(st.integers(0, 7), max_size=40)), np.float32).astype(dtype)
    raw = draw(st.binary(max_size=40 * dtype.itemsize))
    raw = raw[: len(raw) // dtype.itemsize * dtype.itemsize]
    array = np.frombuffer(raw, dtype)
    return np.resize(array[:3], len(array)) if draw(st.booleans()) else array


@settings(max_examples=examples(300), deadline=None)
@given(arrays(), st.lists(st.integers(0, 40), max_size=4))
def test_statistics_of_parts_add_up_to_those_of_the_whole(array, cuts):
    edges = [0, *sorted(min(cut, len(array)) for cut in cuts), len(array)]
    parts = [statistics_of(array[start:stop]) for start, stop in itertools.pairwise(edges)]
    whole = statistics_of(array)
    for order in (parts, parts[::-1]):
        added = sum(order, NO_VALUES)
        assert [getattr(whole, name) for name in COUNTS] == [getattr(added, name) for name in COUNTS]
        agrees_with_oracle(array, added)


@settings(max_examples=examples(100), deadline=None)
@given(arrays())
def test_many_values_of_few_bits_are_counted_by_pattern(array):
    many = np.resize(array, 1 << 16) if array.size else array
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(value_statistics, "_LEAST_COUNTED", 1 << 62)
        one_by_one = statistics_of(many)
    found = statistics_of(many)
    assert [getattr(one_by_one, name) for name in COUNTS] == [getattr(found, name) for name in COUNTS]
    if found.mean is not None:
        scale = max(abs(float(found.low)), abs(float(found.high)))
        assert found.mean == pytest.approx(one_by_one.mean, rel=1e-9, abs=1e-9 * scale)
        assert found.std == pytest.approx(one_by_one.std, rel=1e-6, abs=1e-9 * scale)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64", "int32", "complex64"])
def test_an_array_of_many_parts_has_the_statistics_of_numpy(dtype):
    array = (np.random.default_rng(0).normal(size=(700, 900)) * 50).astype(dtypes.to_numpy(dtype))
    wide = np.abs(array) if dtype == "complex64" else array.astype(np.float64)
    found = statistics_of(array)
    assert (array.size, float(wide.min()), float(wide.max())) == (found.elements, found.low, found.high)
    assert wide.mean(dtype=np.float64) == pytest.approx(found.mean, rel=1e-9, abs=1e-9)
    assert wide.std(dtype=np.float64) == pytest.approx(found.std, rel=1e-9)
    low, high = (float(edge) for edge in found.histogram.edges)
    expected, _ = np.histogram(wide, bins=len(found.histogram.counts), range=(low, high))
    assert expected.tolist() == list(found.histogram.counts)


def test_integers_beyond_float64_are_exact():
    near = np.array([2**60, 2**60 + 2] * 3, np.uint64)
    found = statistics_of(near[:1]) + statistics_of(near[1:])
    assert (2**60, 2**60 + 2, 6 * 2**60 + 6, 1.0) == (found.low, found.high, found.total, found.std)
    assert (3, 0, 3) == found.histogram.counts
    ends = statistics_of(np.array([2**64 - 1, 2**64 - 2, 0], np.uint64))
    assert (2**64 - 1, 2**65 - 3) == (ends.high, ends.total)
    signed = statistics_of(np.array([-(2**63), 2**63 - 1]))
    assert (-(2**63), 2**63 - 1, -1) == (signed.low, signed.high, signed.total)


@pytest.mark.parametrize(
    "values", [[1e308, -1.7e308, 1.7e308], [5e-324, 0.0, 1e-323], [2e-200, 3e-200], [2e24, -7e-304]]
)
def test_the_ends_of_float64_neither_overflow_nor_vanish(values):
    found = sum((statistics_of(np.array([value])) for value in values), NO_VALUES)
    agrees_with_oracle(np.array(values), found)
    agrees_with_oracle(np.array(values), statistics_of(np.array(values)))
    assert found.std > 0


def test_equal_values_have_no_spread():
    found = statistics_of(np.full(1000, 0.1)) + statistics_of(np.full(7, 0.1))
    assert (0.1, 0.0, (1007,)) == (found.mean, found.std, found.histogram.counts)


def test_values_that_are_not_numbers_have_counts_only():
    found = statistics_of(np.array([np.nan, np.inf, -np.inf, -np.inf], ml_dtypes.bfloat16))
    assert (4, 1, 2, 1, 0) == (
        found.elements,
        found.nan,
        found.negative_infinities,
        found.positive_infinities,
        found.finite,
    )
    assert (None, None, None) == (found.low, found.mean, found.histogram)
    assert found == found + statistics_of(np.zeros((3, 0), np.float32))


def test_a_complex_number_counts_by_its_absolute_value():
    values = [3 + 4j, 0, complex(np.nan, 1), complex(np.inf, np.nan), complex(np.inf, 0), 1e308 + 1.7e308j]
    found = statistics_of(np.array(values))
    assert (2, 1, 1, 0.0) == (found.nan, found.positive_infinities, found.zeros, found.low)
    assert np.finfo(np.float64).max == found.high


def test_the_signs_of_zeros_and_the_byte_order_do_not_matter():
    zeros = np.array([-0.0, 0.0])
    assert statistics_of(zeros) == statistics_of(zeros[::-1])
    assert "0.0" == str(statistics_of(zeros[:1]).low) == str(statistics_of(zeros[:1]).high)
    many = (np.arange(70_000) % 2_000).astype(np.float16)
    assert statistics_of(many) == statistics_of(many.astype(">f2"))


def test_a_scalar_is_an_array():
    assert (1, 7, 7.0, 0.0) == (lambda one: (one.elements, one.low, one.mean, one.std))(statistics_of(np.asarray(7)))


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_bins_are_the_narrowest_of_which_few_enough_contain_a_range(one, other):
    low, high = min(one, other), max(one, other)
    exponent = grid_exponent(low, high)

    def bins(power):
        width = Fraction(2) ** power
        return math.floor(Fraction(high) / width) - math.floor(Fraction(low) / width) + 1

    assert bins(exponent) <= MOST_BINS
    assert exponent == -1074 or bins(exponent - 1) > MOST_BINS
