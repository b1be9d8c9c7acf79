"""How far the values of a leaf differ, and how the parts of a leaf add up."""

import ml_dtypes
import numpy as np
import pytest

from migrate import dtypes
from migrate.engine.verification import value_change
from migrate.engine.verification.value_change import EQUAL, measure

NAN, INF = np.float32("nan"), np.float32("inf")


def test_equal_bits_are_no_change():
    array = np.array([1, NAN, -0.0, INF], np.float32)
    change = measure(array, array.copy())
    assert not change
    assert (4, 0, (1, 1)) == (change.elements, change.differing, change.nan)


def test_the_largest_absolute_and_relative_difference_and_the_norm():
    change = measure(np.array([1.0, 2.0, 0.0, 100.0]), np.array([1.0, 5.0, 4.0, 100.0]))
    assert (4, 2, 4.0, 1.5, 5.0) == (
        change.elements,
        change.differing,
        change.largest,
        change.relative,
        change.norm,
    )
    assert "2 of 4 values differ, max |Δ| 4 (relative 1.5), ‖Δ‖ 5" == str(change)


def test_nan_is_counted_on_each_side_and_is_no_distance():
    change = measure(np.array([1.0, NAN, 2.0]), np.array([NAN, NAN, 3.0]))
    assert (2, 1.0, (1, 2)) == (change.differing, change.largest, change.nan)
    assert str(change).endswith("NaN 1 → 2")
    assert "1 of 1 values differ, NaN 0 → 1" == str(measure(np.array([1.0]), np.array([NAN])))


def test_an_infinity_on_one_side_is_infinitely_far():
    change = measure(np.array([1.0, INF]), np.array([INF, INF]))
    assert (1, INF, 0.0) == (change.differing, change.largest, change.norm)


def test_zeros_of_two_signs_differ_in_bits_alone():
    change = measure(np.array([0.0, 1.0]), np.array([-0.0, 1.0]))
    assert "1 of 2 values differ only in signs of zeros or bits of NaN" == str(change)


def test_values_of_two_dtypes_are_compared_by_value():
    exact, rounded = np.array([1.5, 1.001], np.float32), np.array([1.5, 1.001]).astype(ml_dtypes.bfloat16)
    change = measure(exact, rounded)
    assert 1 == change.differing
    assert 0.001 == pytest.approx(change.largest, rel=1e-3)
    assert not measure(np.array([1, 2], np.int32), np.array([1.0, 2.0], np.float32))


def test_integers_that_round_to_one_number_still_differ():
    assert 1.0 == measure(np.array([2**63 - 1]), np.array([2**63 - 2])).largest


@pytest.mark.parametrize("dtype", ["bool", "int4", "float8_e4m3fn", "complex64", "uint8"])
def test_every_kind_of_number_has_a_distance(dtype):
    zeros, ones = (np.full(3, value).astype(dtypes.to_numpy(dtype)) for value in (0, 1))
    assert (3, 1.0) == (measure(zeros, ones).differing, measure(zeros, ones).largest)


def test_typed_keys_are_compared_by_their_words():
    words = np.arange(6, dtype=np.uint32).reshape(3, 2)
    keys = words.view(dtypes.to_numpy("key<fry>")).reshape(3)
    other = (words + np.uint32(1)).view(keys.dtype).reshape(3)
    assert not measure(keys, keys.copy())
    assert 6 == measure(keys, other).differing


def test_strings_have_no_distance():
    assert "1 of 1 values differ" == str(measure("a", "b"))
    assert not measure("a", "a")


def test_empty_arrays_are_equal():
    assert not measure(np.zeros((0, 2)), np.zeros((0, 2)))


def test_the_parts_of_an_array_add_up(monkeypatch):
    generator = np.random.default_rng(0)
    one, other = generator.normal(size=(2, 1000))
    other[:300] = one[:300]
    whole = measure(one, other)
    monkeypatch.setattr(value_change, "PART_ELEMENTS", 64)
    parts = measure(one, other)
    assert (1000, 700, whole.largest, whole.relative) == (
        parts.elements,
        parts.differing,
        parts.largest,
        parts.relative,
    )
    assert whole.norm == pytest.approx(parts.norm)
    assert whole.expected_norm == pytest.approx(parts.expected_norm)
    assert parts == EQUAL + parts
