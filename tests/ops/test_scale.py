import numpy as np
import pytest

from migrate import dtypes
from migrate.ops.base import NotInvertible, OpError
from migrate.ops.scale import Scale
from migrate.ops.values import convert, rounded_once
from migrate.testing.ops import filled
from migrate.tree import AbstractArray


def numbers(values, dtype):
    return np.array(values).astype(dtypes.to_numpy(dtype))


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float16", "float32", "float64", "complex64", "int4"])
def test_the_dtype_is_kept(dtype):
    (scaled,) = Scale(-2).apply(numbers([0, 1, 2, 3], dtype))

    assert numbers([0, -2, -4, -6], dtype).tolist() == scaled.tolist()
    assert dtype == dtypes.from_numpy(scaled.dtype)


def test_bfloat16_is_rounded_once():
    every = np.arange(2**16, dtype=np.uint16).view(dtypes.to_numpy("bfloat16"))
    with np.errstate(invalid="ignore"):
        small = every[np.isfinite(every) & (np.abs(every) < 1e30)]

    expected = (small.astype(np.float64) * 0.3).astype(dtypes.to_numpy("bfloat16"))

    assert expected.tobytes() == Scale(0.3).apply(small)[0].tobytes()


@pytest.mark.parametrize(
    ("dtype", "digits"), [("bfloat16", 8), ("float8_e4m3fn", 4), ("float8_e5m2", 3), ("float16", 11), ("float32", 24)]
)
@pytest.mark.parametrize(("nudge", "expected"), [(1, 1), (0, 0), (-1, 0)])
def test_a_number_close_to_a_tie_is_rounded_to_its_side(dtype, digits, nudge, expected):
    """By way of float32, it would become the tie."""
    step = 2.0 ** (1 - digits)
    number = 1 + step / 2 + nudge * 2.0**-40

    assert [1 + expected * step, -1 - expected * step] == rounded_once(np.array([number, -number]), dtype).tolist()


def test_numbers_that_are_no_ties_are_rounded_as_ml_dtypes_does():
    values = np.random.default_rng(0).standard_normal(4096)

    expected = convert(values, "bfloat16")

    assert expected.tobytes() == rounded_once(values, "bfloat16").tobytes()


@pytest.mark.parametrize(
    ("values", "by", "dtype"),
    [
        ([1, 300.0], 2, "float8_e4m3fn"),
        ([4.0], 2, "float4_e2m1fn"),
        ([1e38], 10, "float32"),
        ([1e308], 10, "float64"),
        ([1.0], -1, "float8_e8m0fnu"),
        ([1j, 1e38], 10, "complex64"),
        ([3], 3, "int4"),
        ([0, 2**62], 2, "int64"),
        ([1], 2**64, "uint64"),
        ([2], -1, "uint8"),
    ],
)
def test_a_number_that_would_leave_the_range_is_refused(values, by, dtype):
    with pytest.raises(OpError, match=f"beyond {dtype if dtype != 'complex64' else 'float32'}"):
        Scale(by).apply(numbers(values, dtype))


def test_integers_are_multiplied_exactly_to_the_ends_of_their_range():
    assert [2**63 - 1] == Scale(7).apply(np.array([(2**63 - 1) // 7]))[0].tolist()
    assert [-(2**63)] == Scale(-(2**62)).apply(np.array([2]))[0].tolist()
    assert [2**64 - 1] == Scale(3).apply(np.array([(2**64 - 1) // 3], np.uint64))[0].tolist()


def test_infinities_and_nans_are_kept():
    (scaled,) = Scale(2).apply(np.array([np.inf, -np.inf, np.nan, complex(np.inf, 1)], np.complex64))

    assert ["(inf+0j)", "(-inf+0j)", "(nan+0j)", "(inf+2j)"] == [str(complex(value)) for value in scaled]


@pytest.mark.parametrize("dtype", ["bool", "key<fry>"])
def test_booleans_and_keys_cannot_be_scaled(dtype):
    with pytest.raises(OpError, match="no numbers"):
        Scale(2).infer(AbstractArray((2,), dtype))


def test_a_fraction_of_integers_is_an_error_and_a_whole_float_is_not():
    with pytest.raises(OpError) as caught:
        Scale(0.5).infer(AbstractArray((2,), "int32"))

    assert "int32[2] holds integers and 0.5 is a fraction; `cast` to a float first" == str(caught.value)
    assert [2, 4] == Scale(2.0).apply(np.array([1, 2]))[0].tolist()


@pytest.mark.parametrize("by", [float("nan"), float("inf"), 10**400])
def test_the_factor_must_be_a_finite_number(by):
    with pytest.raises(OpError, match="not a finite number"):
        Scale(by)


@pytest.mark.parametrize(("by", "dtype"), [(0, "float32"), (5e-324, "float32"), (2, "int32")])
def test_a_factor_without_a_reciprocal_has_no_inverse(by, dtype):
    assert isinstance(Scale(by).inverse(AbstractArray((2,), dtype)), NotInvertible)


def test_arithmetic_is_a_factor_and_its_inverse_the_divisor():
    array = AbstractArray((2,), "float32")

    assert [0.25, 0.5] == Scale("1/sqrt(16)").apply(np.array([1.0, 2.0], np.float32))[0].tolist()
    assert (Scale("sqrt(16)"), Scale("1/sqrt(3)")) == (
        Scale("1/sqrt(16)").inverse(array),
        Scale("sqrt(3)").inverse(array),
    )
    assert [6, 9] == Scale("sqrt(9)").apply(np.array([2, 3]))[0].tolist()


def test_the_inverse_divides_and_neither_is_exact():
    inverse = Scale(4).inverse(AbstractArray((2,), "float32"))

    assert Scale(0.25) == inverse
    assert (False, False) == (Scale(4).exact, inverse.exact)


def test_arrays_larger_than_a_chunk_in_any_memory_order_are_scaled_whole():
    array = np.abs(filled((3, 2**18), "int64", 0)) % 1000

    assert (array * 3).tolist() == Scale(3).apply(np.asfortranarray(array))[0].tolist()
