"""Which ops leave a trace of every axis in the shape that they make."""

import pytest

from migrate.ops.cast import Cast
from migrate.ops.flip import Flip
from migrate.ops.rearrange import Rearrange
from migrate.ops.reshape import Reshape
from migrate.ops.slice import Slice
from migrate.ops.squeeze import ExpandDims, Squeeze
from migrate.ops.transpose import Transpose
from migrate.tree import AbstractArray

KEEPING = [
    (Transpose(), (2, 3)),
    (Squeeze(0), (1, 3)),
    (ExpandDims(1), (2, 3)),
    (Cast("bfloat16"), (2, 3)),
    (Reshape((3, 1, 4)), (1, 3, 4)),
    (Rearrange("a b c -> c (a b)"), (2, 1, 3)),
]
LOSING = [
    (Reshape((3, 2)), (2, 3)),  # the shape of a transposition, and other values
    (Reshape((6,)), (2, 3)),
    (Rearrange("a b c -> c (a b)"), (2, 3, 4)),
    (Rearrange("(a b) c -> (b a) c", (("a", 2),)), (4, 3)),  # the very shape, and other values
    (Flip(0), (2, 3)),
    (Slice(0, 0, 2), (2, 3)),
]


@pytest.mark.parametrize(("op", "shape"), KEEPING, ids=str)
def test_an_op_that_only_moves_axes_keeps_them(op, shape):
    assert op.keeps_axes(AbstractArray(shape, "float32"))


@pytest.mark.parametrize(("op", "shape"), LOSING, ids=str)
def test_an_op_that_merges_cuts_or_reverses_axes_does_not_keep_them(op, shape):
    assert not op.keeps_axes(AbstractArray(shape, "float32"))
