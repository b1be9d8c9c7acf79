import numpy as np
import pytest

from migrate import dtypes
from migrate.ops.add import Add
from migrate.ops.base import OpError
from migrate.testing.ops import filled
from migrate.tree import AbstractArray


def numbers(values, dtype):
    return np.array(values).astype(dtypes.to_numpy(dtype))


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float16", "float32", "float64", "complex64", "int4"])
def test_the_dtype_is_kept(dtype):
    (added,) = Add(-2).apply(numbers([0, 1, 2, 3], dtype))

    assert numbers([-2, -1, 0, 1], dtype).tolist() == added.tolist()
    assert dtype == dtypes.from_numpy(added.dtype)


def test_bfloat16_is_rounded_once():
    every = np.arange(2**16, dtype=np.uint16).view(dtypes.to_numpy("bfloat16"))
    with np.errstate(invalid="ignore"):
        small = every[np.isfinite(every) & (np.abs(every) < 1e30)]

    expected = (small.astype(np.float64) + 1).astype(dtypes.to_numpy("bfloat16"))

    assert expected.tobytes() == Add(1).apply(small)[0].tobytes()


@pytest.mark.parametrize(
    ("values", "value", "dtype"),
    [
        ([1, 400.0], 100, "float8_e4m3fn"),
        ([1.0], 1e39, "float32"),
        ([1e308], 1e308, "float64"),
        ([1.0], -2, "float8_e8m0fnu"),
        ([7], 1, "int4"),
        ([-(2**63)], -1, "int64"),
        ([1], 2**64 - 1, "uint64"),
        ([2], -3, "uint8"),
    ],
)
def test_a_number_that_would_leave_the_range_is_refused(values, value, dtype):
    with pytest.raises(OpError, match=f"beyond {dtype}"):
        Add(value).apply(numbers(values, dtype))


def test_integers_are_added_exactly_to_the_ends_of_their_range():
    assert [2**63 - 1, -1] == Add(2**63 - 1).apply(np.array([0, -(2**63)]))[0].tolist()
    assert [2**64 - 1] == Add(2**64 - 2).apply(np.array([1], np.uint64))[0].tolist()
    assert [] == Add(1).apply(np.zeros(0, np.uint8))[0].tolist()


def test_only_the_real_part_of_a_complex_number_changes_and_its_argument_stays():
    array = np.array([1 + 2j, np.inf - 1j], np.complex64)

    assert [2 + 2j, np.inf - 1j] == Add(1).apply(array)[0].tolist()
    assert 1 + 2j == array[0]


@pytest.mark.parametrize("dtype", ["bool", "key<fry>"])
def test_booleans_and_keys_have_no_numbers(dtype):
    with pytest.raises(OpError, match="no numbers"):
        Add(2).infer(AbstractArray((2,), dtype))


def test_a_fraction_beside_integers_is_an_error_and_a_whole_float_is_not():
    with pytest.raises(OpError) as caught:
        Add("1/2").infer(AbstractArray((2,), "int32"))

    assert "int32[2] holds integers and 1/2 is a fraction; `cast` to a float first" == str(caught.value)
    assert [3, 4] == Add("4/2").apply(np.array([1, 2]))[0].tolist()


@pytest.mark.parametrize("value", [float("nan"), 10**400, "1/0", "x"])
def test_the_number_must_be_finite(value):
    with pytest.raises(OpError):
        Add(value)


def test_the_inverse_subtracts_and_is_exact_for_integers_only():
    array, integers = AbstractArray((2,), "float32"), AbstractArray((2,), "int32")

    assert (Add(-1), Add("-sqrt(2)")) == (Add(1).inverse(array), Add("sqrt(2)").inverse(array))
    assert (False, True) == (Add(1).restores(array), Add(1).restores(integers))
    assert (True, "") == (
        "96 of 128" in Add(1).unrestored(AbstractArray((2,), "bfloat16")),
        Add(1).unrestored(integers),
    )


def test_the_count_of_numbers_that_do_not_come_back_is_that_of_the_arrays():
    start = np.float32(0.25).astype(dtypes.to_numpy("bfloat16")).view(np.uint16)
    binade = np.arange(start, start + 128, dtype=np.uint16).view(dtypes.to_numpy("bfloat16"))
    (there,) = Add(1).apply(binade)
    (back,) = Add(-1).apply(there)

    changed = int((back != binade).sum())

    assert (f"the inverse does not restore {changed} of 128 numbers of bfloat16 from 0.25 to 0.5") == Add(1).unrestored(
        AbstractArray((2,), "bfloat16")
    )


def test_arrays_larger_than_a_chunk_in_any_memory_order_are_changed_whole():
    array = np.abs(filled((3, 2**18), "int64", 0)) % 1000

    assert (array + 3).tolist() == Add(3).apply(np.asfortranarray(array))[0].tolist()
