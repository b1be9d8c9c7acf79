"""Means of rows and columns under a transpose: what NumPy computes from the moved param."""

from itertools import permutations

import numpy as np
import pytest

from migrate.ops.reshape import Reshape
from migrate.ops.transpose import Transpose
from migrate.planning.model import Step
from migrate.planning.moments.adafactor_algebra import factors, is_factored, longest_axes
from migrate.tree import AbstractArray


def means(array):
    """Returns the means that adafactor keeps of a second moment."""
    second, longest = longest_axes(array.shape)
    return array.mean(longest), array.mean(second)


@pytest.mark.parametrize("shape", [(4, 6), (5, 5), (2, 4, 6), (4, 2, 4), (3, 3, 2), (2, 5, 3, 4), (4, 4, 4)])
def test_factors_give_the_means_of_the_transposed_array_or_refuse(shape):
    array = np.random.default_rng(0).normal(size=shape)
    row, column = means(array)
    answers = 0
    for order in permutations(range(len(shape))):
        found = factors(AbstractArray(shape, "float32"), [Step(Transpose(order), ((0,),))])
        wanted = means(array.transpose(order))
        if found is None:
            assert len(set(shape)) < len(shape)
            continue
        answers += 1
        made = row.transpose(found.rows), column.transpose(found.columns)
        for actual, expected in zip(made[::-1] if found.swapped else made, wanted, strict=True):
            np.testing.assert_allclose(actual, expected)
    assert answers


def test_another_op_has_no_factors():
    assert factors(AbstractArray((4, 6), "float32"), [Step(Reshape((24,)), ((0,),))]) is None


def test_the_later_of_two_equal_axes_is_the_longer():
    assert [(0, 1), (1, 2), (0, 1)] == [longest_axes(shape) for shape in ((5, 5), (2, 4, 4), (4, 4, 2))]


def test_means_are_told_by_their_shapes():
    param, row, column = (AbstractArray(shape, "float32") for shape in ((4, 6), (4,), (6,)))
    assert is_factored(param, row, column)
    assert not is_factored(param, column, row)
    assert not is_factored(row, AbstractArray((1,), "float32"), AbstractArray((1,), "float32"))
