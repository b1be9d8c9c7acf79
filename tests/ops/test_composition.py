"""What ops state about themselves one after the other: `does_nothing` and `after`."""

from hypothesis import given, settings

from migrate.ops.base import avals
from migrate.ops.registry import OPS
from migrate.ops.reshape import Reshape
from migrate.ops.transpose import Transpose
from migrate.testing.ops import op_chains
from migrate.tree import AbstractArray
from tests.matrix import examples

ARRAY = AbstractArray((2, 3, 4), "float32")


@settings(max_examples=examples(120))
@given(chain=op_chains([name for name in OPS if name != "call"], most=2))
def test_one_op_does_what_both_do_and_an_op_that_does_nothing_returns_its_input(chain):
    for op, arrays, _ in chain:
        if op.does_nothing(*avals(*arrays)):
            (result,) = op.apply(*arrays)
            assert (arrays[0].dtype, arrays[0].shape) == (result.dtype, result.shape)
            assert arrays[0].tobytes() == result.tobytes()
    if len(chain) == 2 and len(chain[1][1]) == 1:
        (before, arrays, output), (then, _, _) = chain
        merged = then.after(before, *avals(*arrays))
        if merged is not None:
            (expected,), (found,) = then.apply(before.apply(*arrays)[output]), merged.apply(*arrays)
            assert (expected.shape, expected.tobytes()) == (found.shape, found.tobytes())


def test_transpositions_and_reshapes_merge():
    assert Transpose((1, 2, 0)) == Transpose((2, 0, 1)).after(Transpose((2, 0, 1)), ARRAY)
    assert Transpose((2, 0, 1)).after(Transpose((1, 2, 0)), ARRAY).does_nothing(ARRAY)
    assert Reshape((4, 6)) == Reshape((4, -1)).after(Reshape((24,)), ARRAY)
    assert Reshape((24,)).after(Transpose(), ARRAY) is None
    assert not Reshape((24,)).does_nothing(ARRAY)
