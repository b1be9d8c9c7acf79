import pytest

from migrate.ops.base import NotInvertible, OpError
from migrate.ops.slice import Slice
from migrate.tree import AbstractArray

MATRIX = AbstractArray((4, 7), "float32")


@pytest.mark.parametrize(
    ("op", "kept"),
    [
        (Slice(1), 7),
        (Slice(1, 2), 5),
        (Slice(1, stop=2), 2),
        (Slice(-1, 1, -1), 5),
        (Slice(1, step=3), 3),
        (Slice(1, 7), 0),
    ],
)
def test_it_keeps_the_indices_that_python_keeps(op, kept):
    assert (AbstractArray((4, kept), "float32"),) == op.infer(MATRIX)


@pytest.mark.parametrize(("start", "stop"), [(8, None), (None, 9), (-8, None)])
def test_a_bound_beyond_the_axis_is_refused_and_not_clipped(start, stop):
    with pytest.raises(OpError, match=r"is beyond axis 1 of float32\[4,7\], which has size 7"):
        Slice(1, start, stop).infer(MATRIX)


def test_bounds_in_the_wrong_order_are_an_error():
    with pytest.raises(OpError) as caught:
        Slice(1, 5, -3).infer(MATRIX)

    assert "start 5 is after stop 4 on axis 1 of float32[4,7], so that nothing would be kept" == str(caught.value)


@pytest.mark.parametrize("step", [0, -1])
def test_a_step_that_does_not_go_forward_is_refused_at_once(step):
    with pytest.raises(OpError):
        Slice(0, step=step)


def test_removed_elements_have_no_inverse():
    assert isinstance(Slice(1, 2).inverse(MATRIX), NotInvertible)
    assert not Slice(1, 2).exact
