import numpy as np
import pytest

from migrate.ops.base import TEMPLATE, OpError
from migrate.ops.reshape import Reshape
from migrate.tree import AbstractArray


def test_minus_one_takes_the_remaining_elements():
    assert (AbstractArray((2, 6), "int4"),) == Reshape((2, -1)).infer(AbstractArray((3, 4), "int4"))


def test_template_becomes_the_shape_of_the_template_leaf():
    target = AbstractArray((4, 3), "bfloat16")

    bound = Reshape(TEMPLATE).bind((AbstractArray((12,), "float32"),), target, None)

    assert Reshape((4, 3)) == bound


def test_template_without_a_template_leaf_is_an_error():
    with pytest.raises(OpError, match="no template leaf"):
        Reshape(TEMPLATE).bind((AbstractArray((12,), "float32"),), None, None)


def test_an_unbound_template_cannot_be_inferred():
    with pytest.raises(OpError, match="not bound"):
        Reshape(TEMPLATE).infer(AbstractArray((12,), "float32"))


@pytest.mark.parametrize("shape", [(5, -1), (3, 5), (), (-1, 0)])
def test_a_shape_with_another_number_of_elements_is_an_error_that_names_both(shape):
    with pytest.raises(OpError) as caught:
        Reshape(shape).infer(AbstractArray((3, 4), "float32"))

    assert f"float32[3,4] has 12 elements and cannot take the shape {list(shape)}" == str(caught.value)


def test_minus_one_beside_a_zero_is_ambiguous_and_an_error():
    with pytest.raises(OpError, match="cannot take the shape"):
        Reshape((0, -1)).infer(AbstractArray((0, 4), "float32"))


@pytest.mark.parametrize("shape", [(-1, -1), (-2, 3)])
def test_an_invalid_shape_is_refused_at_once(shape):
    with pytest.raises(OpError):
        Reshape(shape)


def test_a_contiguous_array_is_not_copied():
    array = np.zeros((3, 4))

    assert np.shares_memory(array, Reshape((12,)).apply(array)[0])


@pytest.mark.parametrize(
    ("before", "after", "order"),
    [
        ((96, 48), (6, 16, 48), "96 = 6 × 16"),
        ((2, 3, 4), (6, 4), "6 = 2 × 3"),
        ((48, 96), (6, 48, 16), "48 × 96 = 6 × 48 × 16"),
        ((4, 1), (1, 4), ""),
    ],
)
def test_the_order_of_factors_cannot_be_seen(before, after, order):
    assert order == Reshape(after).unseen_order(AbstractArray(before, "float32"))
