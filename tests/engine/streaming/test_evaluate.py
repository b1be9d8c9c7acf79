"""A task's values have the shapes and dtypes that the plan inferred, or the task is refused."""

import numpy as np
import pytest

from migrate.engine.streaming.evaluate import as_kind, evaluate
from migrate.errors import MigrateError, RefusedError
from migrate.ops.call import Call
from migrate.ops.cast import Cast
from migrate.ops.concat import Concat
from migrate.ops.pad import Pad
from migrate.ops.scale import Scale
from migrate.ops.transpose import Transpose
from migrate.planning.model import Step, Task
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree

MATRIX = AbstractArray((2, 3), "float32")


class Values:
    """A reader of arrays in memory."""

    def __init__(self, **arrays):
        self.arrays = arrays

    def read(self, path):
        return self.arrays[path[0]]


def target(*avals):
    return AbstractTree.build(((name,), AbstractLeaf("array", aval)) for name, aval in zip("xyz", avals, strict=False))


def matrix(start=0):
    return np.arange(start, start + 6, dtype=np.float32).reshape(2, 3)


def test_steps_run_in_order():
    joined, turned = AbstractArray((4, 3), "float32"), AbstractArray((3, 4), "float32")
    steps = (Step(Concat(0), ((0, 1),)), Step(Transpose(), ((0,),)))
    task = Task((("a",), ("b",)), (("x",),), (0,), steps, (MATRIX, MATRIX), (turned,))
    found = evaluate(task, Values(a=matrix(), b=matrix(6)), target(turned))
    np.testing.assert_array_equal(np.concatenate([matrix(), matrix(6)]).T, found["x",])
    assert joined.shape[::-1] == found["x",].shape


def test_tied_targets_share_one_array():
    task = Task((("a",),), (("x",), ("y",)), (0, 0), (), (MATRIX,), (MATRIX, MATRIX))
    found = evaluate(task, Values(a=matrix()), target(MATRIX, MATRIX))
    assert found["x",] is found["y",]


def test_a_cast_that_would_change_a_value_names_the_leaf():
    halves = AbstractArray((2, 3), "int8")
    task = Task((("a",),), (("x",),), (0,), (Step(Cast("int8"), ((0,),)),), (MATRIX,), (halves,))
    with pytest.raises(RefusedError, match="`cast` on `a`") as refusal:
        evaluate(task, Values(a=matrix() + 0.5), target(halves))
    assert ["M503"] == [d.code for d in refusal.value.diagnostics]


def test_an_array_unlike_the_plan_is_a_bug_that_names_the_leaf():
    wrong = AbstractArray((2, 3), "float32")
    task = Task((("a",),), (("x",),), (0,), (Step(Transpose(), ((0,),)),), (MATRIX,), (wrong,))
    with pytest.raises(MigrateError, match="`x` has the shape and dtype") as failure:
        evaluate(task, Values(a=matrix()), target(wrong))
    (found,) = failure.value.diagnostics
    assert ("M901", True, True) == (found.code, "float32[3,2]" in found.message, "float32[2,3]" in found.message)


def test_values_have_the_kind_of_their_leaf():
    assert () == as_kind(7, AbstractLeaf("scalar", AbstractArray((), "int64"))).shape
    assert "text" == as_kind("text", AbstractLeaf("string"))
    assert [] == as_kind({}, AbstractLeaf("empty", container="list"))


@pytest.mark.parametrize(
    ("op", "dtype", "advice"),
    [
        (Cast("int8"), "int8", "add `lossy: true` to the cast"),
        (Scale(1e300), "float32", "put a `cast` to a wider dtype before `scale`"),
        (Pad(((0, 0), (0, 1)), 1e300), "float32", "put a `cast` to a wider dtype before `pad`"),
        (Call("tests.engine.streaming.test_evaluate:halved"), "float32", "shape: [1, 3], dtype: float32}}`"),
    ],
)
def test_the_help_fits_the_op(op, dtype, advice):
    planned = AbstractArray((2, 3), dtype)
    task = Task((("a",),), (("x",),), (0,), (Step(op, ((0,),)),), (MATRIX,), (planned,))
    with pytest.raises(RefusedError) as refusal:
        evaluate(task, Values(a=matrix(1) + 0.5), target(planned))
    (finding,) = refusal.value.diagnostics
    assert ("M503", True) == (finding.code, advice in finding.help)


def halved(array):
    return array[:1]
