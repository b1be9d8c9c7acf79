import pytest

from migrate.ops.base import NotInvertible, OpError
from migrate.ops.crop import Crop
from migrate.tree import AbstractArray

MATRIX = AbstractArray((4, 7), "float32")


def test_it_keeps_a_range_of_every_axis():
    assert (AbstractArray((2, 7), "float32"),) == Crop(((1, 3), (0, 7))).infer(MATRIX)


def test_a_range_for_every_axis_is_needed():
    with pytest.raises(OpError) as caught:
        Crop(((1, 3),)).infer(MATRIX)

    assert "there are 1 ranges for the 2 axes of float32[4,7]" == str(caught.value)


def test_a_range_beyond_the_axis_is_an_error():
    with pytest.raises(OpError) as caught:
        Crop(((1, 3), (0, 8))).infer(MATRIX)

    assert "[0, 8] is beyond axis 1 of float32[4,7], which has size 7" == str(caught.value)


@pytest.mark.parametrize("ranges", [((-1, 2),), ((3, 2),)])
def test_an_invalid_range_is_refused_at_once(ranges):
    with pytest.raises(OpError):
        Crop(ranges)


def test_removed_elements_have_no_inverse():
    assert isinstance(Crop(((1, 3), (0, 7))).inverse(MATRIX), NotInvertible)
