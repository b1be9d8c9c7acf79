import numpy as np
import pytest

from migrate.ops.base import OpError
from migrate.ops.mxfp4 import Mxfp4
from migrate.tree import AbstractArray


def test_the_last_two_axes_are_exchanged_and_groups_are_joined():
    blocks, scales = AbstractArray((4, 6, 3, 16), "uint8"), AbstractArray((4, 6, 3), "uint8")
    assert ["bfloat16[4,96,6]"] == [str(one) for one in Mxfp4().infer(blocks, scales)]


@pytest.mark.parametrize(
    ("blocks", "scales"),
    [
        (AbstractArray((6, 3, 8), "uint8"), AbstractArray((6, 3), "uint8")),
        (AbstractArray((6, 3, 16), "int8"), AbstractArray((6, 3), "uint8")),
        (AbstractArray((3, 16), "uint8"), AbstractArray((3,), "uint8")),
        (AbstractArray((6, 3, 16), "uint8"), AbstractArray((6, 3), "float32")),
        (AbstractArray((6, 3, 16), "uint8"), AbstractArray((3, 6), "uint8")),
    ],
)
def test_other_shapes_and_dtypes_are_refused(blocks, scales):
    with pytest.raises(OpError):
        Mxfp4().infer(blocks, scales)


def test_a_scale_that_is_not_a_number_is_refused():
    with pytest.raises(OpError, match="255"):
        Mxfp4().apply(np.ones((1, 1, 16), np.uint8), np.full((1, 1), 255, np.uint8))


def test_the_smallest_numbers_are_exact_and_the_largest_are_refused():
    (least,) = Mxfp4().apply(np.full((1, 1, 16), 0x11, np.uint8), np.zeros((1, 1), np.uint8))
    assert 2.0**-128 == float(least[0, 0])
    with pytest.raises(OpError, match="beyond bfloat16"):
        Mxfp4().apply(np.full((1, 1, 16), 0x77, np.uint8), np.full((1, 1), 254, np.uint8))


def test_only_float16_rounds():
    assert [False, False, True] == [Mxfp4(to).rounds for to in ("bfloat16", "float32", "float16")]
