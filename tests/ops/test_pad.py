import numpy as np
import pytest

from migrate import dtypes
from migrate.ops.base import OpError
from migrate.ops.crop import Crop
from migrate.ops.pad import Pad
from migrate.tree import AbstractArray


def test_the_border_has_the_value_and_the_inside_is_the_array():
    (padded,) = Pad(((1, 0), (0, 2)), 7).apply(np.ones((1, 2), np.int8))

    assert [[7, 7, 7, 7], [1, 1, 7, 7]] == padded.tolist()


def test_the_inverse_crops_the_border_of_every_axis():
    assert Crop(((1, 3), (0, 3))) == Pad(((1, 0), (0, 2))).inverse(AbstractArray((2, 3), "float32"))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("bfloat16", 0.1),
        ("float8_e4m3fn", 448),
        ("float32", float("inf")),
        ("bfloat16", float("nan")),
        ("float64", 1e300),
        ("float32", 1e-45),
        ("complex64", -1.5),
        ("float8_e8m0fnu", 4),
    ],
)
def test_a_float_dtype_takes_the_nearest_value(dtype, value):
    (padded,) = Pad(((0, 1),), value).apply(np.ones((1,), dtypes.to_numpy(dtype)))

    assert np.asarray(value).astype(dtypes.to_numpy(dtype)).tobytes() == padded[1:].tobytes()


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("float8_e4m3fn", 1000),
        ("float4_e2m1fn", 100),
        ("float32", 1e39),
        ("float8_e4m3fn", float("inf")),
        ("float8_e8m0fnu", -1),
        ("float8_e8m0fnu", 1e-300),
    ],
)
def test_a_float_beyond_the_dtype_is_refused(dtype, value):
    with pytest.raises(OpError, match=f"{dtype} cannot hold a value near"):
        Pad(((0, 1),), value).apply(np.ones((1,), dtypes.to_numpy(dtype)))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("int8", 0.5), ("int4", 8), ("uint8", -1), ("bool", 2), ("int64", float("nan")), ("int32", float("inf"))],
)
def test_a_value_that_an_integer_dtype_cannot_represent_is_refused_while_planning(dtype, value):
    with pytest.raises(OpError) as caught:
        Pad(((0, 1),), value).infer(AbstractArray((1,), dtype))

    assert f"{dtype} cannot hold the value {value}" == str(caught.value)


@pytest.mark.parametrize(("dtype", "value"), [("uint64", 2**64 - 1), ("int4", -8), ("bool", True), ("int2", 1)])
def test_the_extremes_of_an_integer_dtype_are_accepted(dtype, value):
    (padded,) = Pad(((0, 1),), value).apply(np.ones((1,), dtypes.to_numpy(dtype)))

    assert value == int(padded[1])


def test_keys_cannot_be_padded():
    with pytest.raises(OpError, match="no number is a key"):
        Pad(((0, 1),)).infer(AbstractArray((1,), "key<fry>"))


def test_widths_for_every_axis_are_needed():
    with pytest.raises(OpError, match=r"there are 1 widths for the 2 axes of float32\[1,2\]"):
        Pad(((0, 1),)).infer(AbstractArray((1, 2), "float32"))


@pytest.mark.parametrize(("widths", "value"), [(((0, -1),), 0), (((0, 1),), 10**400)])
def test_invalid_widths_and_values_are_refused_at_once(widths, value):
    with pytest.raises(OpError):
        Pad(widths, value)
