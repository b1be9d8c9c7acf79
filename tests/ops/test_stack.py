import pytest

from migrate.ops.base import OpError
from migrate.ops.stack import Stack
from migrate.tree import AbstractArray

VECTOR = AbstractArray((3,), "float32")


@pytest.mark.parametrize(("axis", "shape"), [(0, (2, 3)), (1, (3, 2)), (-1, (3, 2)), (-2, (2, 3))])
def test_the_axis_is_one_of_the_result(axis, shape):
    assert (AbstractArray(shape, "float32"),) == Stack(axis).infer(VECTOR, VECTOR)


@pytest.mark.parametrize("other", [AbstractArray((4,), "float32"), AbstractArray((3,), "bfloat16")])
def test_arrays_that_differ_are_an_error_that_names_both(other):
    with pytest.raises(OpError) as caught:
        Stack().infer(VECTOR, VECTOR, other)

    assert f"{VECTOR} and {other} differ; only arrays of one shape and dtype can be stacked" == str(caught.value)


def test_nothing_cannot_be_stacked():
    with pytest.raises(OpError, match="no array"):
        Stack().infer()
