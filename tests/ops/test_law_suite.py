"""The law suite fails for an op that breaks a law; covers `base`, which states the laws."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from migrate.ops.base import NotInvertible, Op
from migrate.ops.cast import Cast
from migrate.ops.concat import Concat, Split
from migrate.ops.crop import Crop
from migrate.ops.flip import Flip
from migrate.ops.pad import Pad
from migrate.ops.slice import Slice
from migrate.ops.stack import Stack, Unstack
from migrate.ops.transpose import Transpose
from migrate.ops.windows import Pull
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


@dataclass(frozen=True)
class Windowed(Odd):
    """Makes windows, unless a field makes them wrong."""

    name: ClassVar[str] = "windowed"
    shift: int = 0
    more: float = 0.0
    needs_empty: bool = False
    loses_an_axis: bool = False

    def _window(self, inputs, output, window):
        del inputs, output
        start, stop = window[0]
        needed = ((start + self.shift, start if self.needs_empty else stop + self.shift), *window[1:])

        def make(parts):
            made = parts[0] + np.float32(self.more)
            return made[0] if self.loses_an_axis else made

        return Pull(((0, needed),), make)


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
        (Odd(result=2.0, axes=True), "does not keep the axes"),
        (Odd(result=2.0), "structural and makes new elements"),
        (Windowed(more=1.0), "makes other elements of the window"),
        (Windowed(shift=1), "outside of an input"),
        (Windowed(needs_empty=True), "needs the empty window"),
        (Windowed(loses_an_axis=True), "of the window"),
    ],
)
def test_an_op_that_breaks_a_law_fails(op, message):
    with pytest.raises(AssertionError, match=message):
        check_op_laws(op, ones())


def test_an_inverse_that_does_not_restore_the_input_fails(monkeypatch):
    monkeypatch.setattr(Odd, "structural", False)
    with pytest.raises(AssertionError, match="does not restore"):
        check_op_laws(Odd(result=2.0), ones())


@pytest.mark.parametrize(
    ("op", "arrays"),
    [
        (Slice(0, 0, 1), 1),
        (Crop(((0, 1), (0, 3))), 1),
        (Concat(0), 2),
        (Stack(0), 2),
        (Split(0, (1, 1)), 1),
        (Unstack(0), 1),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_an_op_that_recuts_tensors_but_does_not_declare_it_fails(op, arrays, monkeypatch):
    check_op_laws(op, ones() * arrays)
    monkeypatch.setattr(type(op), "recuts", False)
    with pytest.raises(AssertionError, match="only permutes"):
        check_op_laws(op, ones() * arrays)


@pytest.mark.parametrize(
    ("op", "flag", "value", "message"),
    [
        (Flip(0), "recuts", True, "recuts an array and loses nothing"),
        (Pad(((1, 0), (0, 0)), 7), "structural", True, "makes new elements"),
        (Transpose(), "elementwise", True, "changes the shape"),
        (Flip(0), "elementwise", True, "is not elementwise"),
        (Cast("float64"), "elementwise", False, "only casts and is not elementwise"),
    ],
    ids=str,
)
def test_an_op_with_a_wrong_flag_fails(op, flag, value, message, monkeypatch):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    check_op_laws(op, [array])
    monkeypatch.setattr(type(op), flag, value)
    with pytest.raises(AssertionError, match=message):
        check_op_laws(op, [array])


def test_an_op_without_a_strategy_is_an_error():
    with pytest.raises(KeyError, match="no strategy for `odd`"):
        op_cases("odd")


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_seed_fills_the_same_array(dtype):
    assert filled((2, 3), dtype, 1).tobytes() == filled((2, 3), dtype, 1).tobytes()
    assert filled((64,), dtype, 1).tobytes() != filled((64,), dtype, 2).tobytes()
