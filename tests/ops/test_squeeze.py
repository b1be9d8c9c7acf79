import pytest

from migrate.ops.base import OpError
from migrate.ops.squeeze import ExpandDims, Squeeze
from migrate.tree import AbstractArray


def test_the_inverse_restores_the_axis_in_its_place():
    assert ExpandDims(1) == Squeeze(-1).inverse(AbstractArray((3, 1), "float32"))


def test_only_an_axis_of_size_one_can_be_removed():
    with pytest.raises(OpError) as caught:
        Squeeze(0).infer(AbstractArray((3, 1), "float32"))

    assert "axis 0 of float32[3,1] has size 3; only an axis of size 1 can go away" == str(caught.value)
