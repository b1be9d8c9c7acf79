import numpy as np
import pytest

from migrate.ops.base import OpError
from migrate.ops.stack import Unstack
from migrate.tree import AbstractArray

MATRIX = AbstractArray((2, 3), "float32")


@pytest.mark.parametrize("count", [3, None, 12])
def test_there_are_as_many_results_as_the_axis_is_long(count):
    assert (AbstractArray((2,), "float32"),) * 3 == Unstack(-1).bind((MATRIX,), None, count).infer(MATRIX)


def test_more_results_than_the_rule_expects_are_an_error_but_another_rule_can_fill_more():
    with pytest.raises(OpError) as caught:
        Unstack().bind((MATRIX,), None, 1)

    assert "axis 0 of float32[2,3] gives 2 arrays, but the rule expects 1" == str(caught.value)


def test_an_empty_axis_is_an_error_because_nothing_would_be_left():
    with pytest.raises(OpError, match="is empty"):
        Unstack().infer(AbstractArray((0, 3), "float32"))


def test_the_results_are_views_and_never_scalars():
    vector = np.arange(3)

    parts = Unstack().apply(vector)

    assert [((), 0), ((), 1), ((), 2)] == [(part.shape, part) for part in parts]
    assert all(isinstance(part, np.ndarray) and np.shares_memory(vector, part) for part in parts)
