import pytest

from migrate.ops.base import OpError
from migrate.ops.transpose import Transpose
from migrate.tree import AbstractArray


def test_without_perm_the_axes_are_reversed():
    assert (AbstractArray((4, 3, 2), "bool"),) == Transpose().infer(AbstractArray((2, 3, 4), "bool"))


def test_perm_may_count_from_the_end():
    assert (AbstractArray((4, 2, 3), "bool"),) == Transpose((-1, 0, 1)).infer(AbstractArray((2, 3, 4), "bool"))


@pytest.mark.parametrize(
    ("perm", "message"),
    [
        ((0, 1), "perm [0, 1] orders 2 axes, but float32[2,3,4] has 3"),
        ((0, 1, -2), "perm [0, 1, -2] names an axis twice"),
        ((0, 1, 3), "axis 3 is out of range for 3 dimensions"),
    ],
)
def test_a_perm_that_is_no_permutation_is_an_error(perm, message):
    with pytest.raises(OpError) as caught:
        Transpose(perm).infer(AbstractArray((2, 3, 4), "float32"))

    assert message == str(caught.value)
