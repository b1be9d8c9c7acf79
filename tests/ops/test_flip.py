import numpy as np
import pytest

from migrate.ops.base import OpError
from migrate.ops.flip import Flip
from migrate.tree import AbstractArray


def test_the_result_is_a_view_of_the_axis_in_reverse():
    array = np.arange(6).reshape(2, 3)

    (flipped,) = Flip(-1).apply(array)

    assert [[2, 1, 0], [5, 4, 3]] == flipped.tolist()
    assert np.shares_memory(array, flipped)


def test_an_axis_beyond_the_array_is_an_error():
    with pytest.raises(OpError):
        Flip(0).infer(AbstractArray((), "float32"))
