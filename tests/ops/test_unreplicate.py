import numpy as np
import pytest

from migrate.ops.base import NotInvertible, OpError
from migrate.ops.unreplicate import Unreplicate
from migrate.tree import AbstractArray


def test_equal_parts_become_one():
    (kept,) = Unreplicate(1).apply(np.stack([np.arange(6).reshape(2, 3)] * 4, axis=1))
    np.testing.assert_array_equal(np.arange(6).reshape(2, 3), kept)


def test_counts_become_scalars():
    assert (AbstractArray((), "int32"),) == Unreplicate().infer(AbstractArray((4,), "int32"))
    assert 5 == Unreplicate().apply(np.array([5, 5, 5, 5]))[0]


def test_nan_is_equal_to_itself_and_minus_zero_is_not_zero():
    assert np.isnan(Unreplicate().apply(np.full((2, 3), np.nan))[0]).all()
    with pytest.raises(OpError):
        Unreplicate().apply(np.array([0.0, -0.0]))


def test_parts_that_differ_are_refused():
    with pytest.raises(OpError) as caught:
        Unreplicate().apply(np.array([[1, 2], [1, 2], [1, 3]]))
    assert "parts 0 and 2 along axis 0 differ, so they are not replicas" == str(caught.value)
    assert (
        "`{slice: {axis: 0, start: 0, stop: 1}}, {squeeze: {axis: 0}}` keeps the first part only"
        == Unreplicate().remedy
    )


def test_an_axis_of_size_zero_has_no_part():
    with pytest.raises(OpError, match="has size 0"):
        Unreplicate().infer(AbstractArray((0, 3), "float32"))


def test_there_is_no_inverse():
    assert isinstance(Unreplicate().inverse(AbstractArray((2, 3), "float32")), NotInvertible)
