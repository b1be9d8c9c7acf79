import pytest

from migrate.ops.base import OpError
from migrate.ops.squeeze import ExpandDims, Squeeze
from migrate.tree import AbstractArray


def test_a_negative_axis_counts_from_the_end_of_the_result():
    assert (AbstractArray((3, 1), "float32"),) == ExpandDims(-1).infer(AbstractArray((3,), "float32"))


def test_the_inverse_removes_the_same_axis():
    assert Squeeze(1) == ExpandDims(-1).inverse(AbstractArray((3,), "float32"))


def test_an_axis_beyond_the_result_is_an_error():
    with pytest.raises(OpError, match="axis 2 is out of range for 2 dimensions"):
        ExpandDims(2).infer(AbstractArray((3,), "float32"))
