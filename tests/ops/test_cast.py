"""`cast` refuses to change a value; covers `values`, which converts, and `piecewise`, which bounds temporaries."""

import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from migrate import dtypes
from migrate.dtypes import int_bounds, kind
from migrate.ops.base import TEMPLATE, OpError
from migrate.ops.cast import Cast
from migrate.tree import AbstractArray

NUMBERS = [name for name in dtypes.NAMES if kind(name) != "key"]
EDGES = (0, 1, -1, 2, 3, 5, 6, 7, 8, 127, 128, 255, 256, 2.0**15, 2.0**31, 2.0**63, 2.0**64, -(2.0**63))
ODD = (-0.0, 0.1, 0.5, 1.5, 2.0**-24, 2.0**-127, 2.0**-149, 65504.0, 65520.0, 3e38, math.inf, -math.inf, math.nan)


def edges(dtype):
    """The numbers at which conversions go wrong, as far as this dtype has them."""
    if kind(dtype) in ("bool", "int", "uint"):
        low, high = int_bounds(dtype)
        wanted = {int(edge) for edge in EDGES} | {low, low + 1, high, high - 1, 2**24 + 1, 2**53 + 1}
        wide = np.uint64 if low == 0 else np.int64
        return np.array(sorted(n for n in wanted if low <= n <= high), wide).astype(dtypes.to_numpy(dtype))
    with np.errstate(all="ignore"):
        floats = np.array([*EDGES, *ODD]).astype(dtypes.to_numpy(dtype))
    if kind(dtype) == "complex":
        return np.concatenate([floats, np.array([1j, -1j, complex(1, -0.0), complex(0, math.nan)], floats.dtype)])
    return floats


def number(value, dtype):
    """What a value is, exactly: real and imaginary part, where zeros have signs and a NaN is a NaN."""
    if kind(dtype) == "complex":
        return real_number(value.real), real_number(value.imag)
    return (Fraction(int(value)) if kind(dtype) in ("bool", "int", "uint") else real_number(value)), Fraction(0)


def real_number(value):
    value = float(value)
    if math.isfinite(value) and (value or math.copysign(1, value) > 0):
        return Fraction(value)
    return str(value)


@pytest.mark.parametrize("source", NUMBERS)
def test_a_value_is_accepted_only_when_the_cast_does_not_change_it(source):
    values = edges(source)
    for target in NUMBERS:
        (lossy,) = Cast(target, lossy=True).apply(values)
        for before, after in zip(values.reshape(-1, 1), lossy, strict=True):
            same = number(before[0], source) == number(after, target)
            try:
                (kept,) = Cast(target).apply(before)
            except OpError:
                assert not same, f"{before} is the same in {target} and was refused"
            else:
                assert same, f"{before} becomes {after} in {target} and was accepted"
                assert kept.tobytes() == after.tobytes()


@pytest.mark.parametrize(("source", "target"), [("bfloat16", "float16"), ("float8_e5m2", "bfloat16")])
def test_every_value_of_a_small_dtype_is_checked_correctly(source, target):
    size = dtypes.item_bytes(source)
    every = np.arange(2 ** (8 * size), dtype=f"u{size}").view(dtypes.to_numpy(source))
    with np.errstate(all="ignore"):
        wide, moved = every.astype(np.float64), every.astype(dtypes.to_numpy(target)).astype(np.float64)
    changed = int((~((wide == moved) | (np.isnan(wide) & np.isnan(moved)))).sum())

    if changed:
        with pytest.raises(OpError, match=f"^{changed} of {every.size} values would change"):
            Cast(target).apply(every)
    else:
        Cast(target).apply(every)


def test_the_error_counts_the_values_and_shows_the_first():
    array = np.array([[1, 2, 3], [0.1, 5, 0.2]], np.float32)

    with pytest.raises(OpError) as caught:
        Cast("bfloat16").apply(array)

    assert (
        "2 of 6 values would change from float32 to bfloat16; the first, at [1, 0], is 0.1 and would become 0.100098"
        == str(caught.value)
    )


def test_an_integer_that_would_wrap_is_refused_although_it_would_come_back():
    with pytest.raises(OpError, match="is -1 and would become 4294967295"):
        Cast("uint32").apply(np.array(-1, np.int32))


def test_changes_far_into_a_large_array_in_any_memory_order_are_found():
    array = np.zeros((3, 2**18), np.float32)
    array[1, 7], array[2, -1] = 0.1, 0.3

    for order in (array, np.asfortranarray(array)):
        with pytest.raises(OpError, match=r"^2 of 786432 values .* the first, at \[1, 7\], is 0.1"):
            Cast("float16").apply(order)


def test_memory_beyond_the_result_does_not_grow_with_the_array():
    array = np.asfortranarray(np.zeros((4, 2**21), np.float32))
    tracemalloc.start()
    try:
        (result,) = Cast("bfloat16").apply(array)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < result.nbytes + 8 * 2**20


def test_the_same_dtype_is_not_copied():
    array = np.zeros(3, np.float32)

    assert array is Cast("float32").apply(array)[0]


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_arrays_without_axes_and_without_elements_work(shape):
    (result,) = Cast("bfloat16").apply(np.zeros(shape, np.float32))

    assert (shape, "bfloat16") == (result.shape, dtypes.from_numpy(result.dtype))


def test_template_becomes_the_dtype_of_the_template_leaf():
    target = AbstractArray((4, 3), "bfloat16")

    assert Cast("bfloat16") == Cast(TEMPLATE).bind((AbstractArray((12,), "float32"),), target, None)


def test_template_without_a_template_leaf_is_an_error():
    with pytest.raises(OpError, match="no template leaf"):
        Cast(TEMPLATE).bind((AbstractArray((), "float32"),), None, None)
    with pytest.raises(OpError, match="not bound"):
        Cast(TEMPLATE).infer(AbstractArray((), "float32"))


@pytest.mark.parametrize(
    ("source", "target"), [("key<fry>", "uint32"), ("uint32", "key<fry>"), ("key<fry>", "key<rbg>")]
)
def test_keys_cannot_be_cast(source, target):
    with pytest.raises(OpError, match="keys are not numbers"):
        Cast(target).infer(AbstractArray((2,), source))


def test_a_dtype_that_does_not_exist_is_refused_with_the_nearest_name():
    with pytest.raises(OpError) as caught:
        Cast("bfloat61")

    assert "there is no dtype `bfloat61`; did you mean `bfloat16`?" == str(caught.value)


def test_only_a_cast_that_is_not_lossy_is_exact():
    assert (True, False) == (Cast("bfloat16").exact, Cast("bfloat16", lossy=True).exact)
