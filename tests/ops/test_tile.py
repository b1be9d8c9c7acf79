import pytest

from migrate.ops.base import OpError
from migrate.ops.crop import Crop
from migrate.ops.tile import Tile
from migrate.tree import AbstractArray


def test_the_inverse_keeps_the_first_copy():
    assert Crop(((0, 2), (0, 3))) == Tile((2, 4)).inverse(AbstractArray((2, 3), "float32"))


def test_reps_for_every_axis_are_needed():
    with pytest.raises(OpError) as caught:
        Tile((2,)).infer(AbstractArray((2, 3), "float32"))

    assert "reps [2] are for 1 axes, but float32[2,3] has 2" == str(caught.value)


def test_an_array_cannot_be_tiled_away():
    with pytest.raises(OpError):
        Tile((2, 0))
