import ml_dtypes
import numpy as np
import pytest

from migrate.ops.add import Add
from migrate.ops.rounding import smallest_normal, unrestored
from migrate.ops.scale import Scale
from migrate.tree import AbstractArray


def of(op, dtype):
    return op.unrestored(AbstractArray((2,), dtype))


@pytest.mark.parametrize("by", ["1/sqrt(128)", 3, 0.3, "-sqrt(2304)"])
def test_the_count_of_significands_that_a_factor_changes_is_that_of_the_arrays(by):
    scale = Scale(by)
    every = (1 + np.arange(128) / 128).astype(ml_dtypes.bfloat16)
    (there,) = scale.apply(every)
    (back,) = scale.inverse(AbstractArray((128,), "bfloat16")).apply(there)

    changed = int((back != every).sum())

    assert f"the inverse does not restore {changed} of 128 significands of bfloat16" == of(scale, "bfloat16")
    assert 0 < changed < 128


def test_of_wide_dtypes_a_sample_is_tried_with_all_digits():
    assert "3,072 of 4,096 sampled numbers of float32 from 0.25 to 0.5" in of(Add(1), "float32")
    assert " sampled significands of float64" in of(Scale(3), "float64")
    assert of(Scale(3), "float32") == of(Scale(3), "complex64")


@pytest.mark.parametrize(
    ("op", "dtype", "clause"),
    [
        (Scale(4), "float32", ""),
        (Scale(-1), "bfloat16", ""),
        (Scale(0), "bfloat16", ""),
        (Scale("1/sqrt(16)"), "bfloat16", "numbers below 4.7e-38 may be rounded"),
        (Scale(3), "int32", ""),
        (Add(0), "float32", ""),
        (Add(1e-50), "float32", ""),
    ],
)
def test_an_op_that_restores_everything_or_whose_numbers_the_dtype_lacks_has_no_count(op, dtype, clause):
    assert clause == of(op, dtype)


def test_below_the_smallest_normal_number_a_power_of_two_rounds():
    tiny = np.array([smallest_normal("float32") * 2.5, np.nextafter(np.float32(4.7e-38), np.float32(0))], np.float32)
    (there,) = Scale(0.25).apply(tiny)

    assert [True, False] == (Scale(4).apply(there)[0] == tiny).tolist()


def test_what_is_restored_is_not_counted():
    assert "the inverse does not restore 0 of 128 numbers of bfloat16" == unrestored(
        "bfloat16", "numbers of {}", 0, lambda x: x, lambda x: x
    )
