"""The law suite is only worth something if it fails for an op that breaks a law."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from migrate.ops.base import NotInvertible, Op
from migrate.ops.transpose import Transpose
from migrate.testing.ops import DTYPES, check_op_laws, filled, op_cases
from migrate.tree import AbstractArray


@dataclass(frozen=True)
class Odd(Op):
    """Does nothing, unless a field makes it break a law."""

    name: ClassVar[str] = "odd"
    promise: str = "float32"
    back: object = None
    spoil: bool = False
    result: float = 1.0
    axes: bool = False

    def keeps_axes(self, *inputs):
        del inputs
        return self.axes

    def infer(self, *inputs):
        return tuple(AbstractArray(array.shape, self.promise) for array in inputs)

    def apply(self, *arrays):
        if self.spoil:
            arrays[0][...] = 0
        return tuple(array * np.float32(self.result) for array in arrays)

    def inverse(self, *inputs):
        del inputs
        return self.back or replace(self, back=self)


def ones():
    return [np.ones((2, 3), np.float32)]


def test_an_op_that_keeps_the_laws_passes():
    check_op_laws(Odd(), ones())


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (Odd(promise="bool"), "promises"),
        (Odd(back=Transpose()), "lead to"),
        (Odd(back=NotInvertible("no way")), "is exact and has no inverse"),
        (Odd(spoil=True), "changes its input"),
        (Odd(result=2.0), "does not bring back"),
        (Odd(result=2.0, axes=True), "does not keep the axes"),
    ],
)
def test_an_op_that_breaks_a_law_fails(op, message):
    with pytest.raises(AssertionError, match=message):
        check_op_laws(op, ones())


def test_an_op_without_a_strategy_is_an_error():
    with pytest.raises(KeyError, match="no strategy for `odd`"):
        op_cases("odd")


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_seed_fills_the_same_array(dtype):
    assert filled((2, 3), dtype, 1).tobytes() == filled((2, 3), dtype, 1).tobytes()
    assert filled((64,), dtype, 1).tobytes() != filled((64,), dtype, 2).tobytes()
