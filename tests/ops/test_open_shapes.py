import pytest

from migrate.ops.concat import Concat, Split
from migrate.ops.flip import Flip
from migrate.ops.open_shapes import inserted, opened, product_of, solved, without
from migrate.ops.pad import Pad
from migrate.ops.rearrange import Rearrange
from migrate.ops.reshape import Reshape
from migrate.ops.scale import Scale
from migrate.ops.slice import Slice
from migrate.ops.squeeze import ExpandDims, Squeeze
from migrate.ops.stack import Stack, Unstack
from migrate.ops.transpose import Transpose


def test_products_determine_factors_one_after_another():
    equations = [(("n", "h"), 96), (("d",), 48), (("d", "n"), 288)]

    assert {"d": 48, "n": 6, "h": 16} == solved(equations, {})


@pytest.mark.parametrize("equation", [(("n", "h"), 96), (("n",), None), (("n", "k"), 97)])
def test_a_factor_stays_open_beside_another_and_without_a_product_that_it_divides(equation):
    assert "n" not in solved([equation], {"k": 2})


def test_a_product_of_an_unknown_size_is_unknown():
    assert (None, 6, 1) == (product_of("ab", {"a": 2}), product_of("ab", {"a": 2, "b": 3}), product_of("", {}))


def test_axes_that_a_shape_does_not_have_give_no_shape():
    assert (None, None, None) == (without((2, 3), 2), opened((2, 3), -3), inserted((2, 3), 3, 1))


@pytest.mark.parametrize(
    ("op", "after", "before"),
    [
        (Transpose(), (2, None, 4), (4, None, 2)),
        (Transpose((1, 2, 0)), (3, 4, 2), (2, 3, 4)),
        (Transpose((1, 0)), (3, 4, 2), None),
        (Rearrange("(n h) d -> d n h"), (48, 6, 16), (96, 48)),
        (Rearrange("(n h) d -> d n h"), (48, None, 16), (None, 48)),
        (Rearrange("(n h) d -> d (h n)", (("n", 6),)), (48, 96), (96, 48)),
        (Rearrange("... a -> a ..."), (2, 3, 4), (3, 4, 2)),
        (Rearrange("... a -> (a ...)"), (24,), None),
        (Rearrange("a b -> b a"), (2, 3, 4), None),
        (Concat(1), (4, 6), (4, None)),
        (Split(-1), (4, 6), (4, None)),
        (Stack(1), (4, 2, 6), (4, 6)),
        (Unstack(-1), (4, 6), (4, 6, None)),
        (Squeeze(0), (4, 6), (1, 4, 6)),
        (ExpandDims(-1), (4, 6, 1), (4, 6)),
        (Flip(0), (4, 6), (4, 6)),
        (Slice(0, 1), (4, 6), (None, 6)),
        (Pad(((1, 0), (0, 0))), (4, None), (3, None)),
        (Pad(((5, 0), (0, 0))), (4, None), None),
        (Scale(2), (4, 6), (4, 6)),
        (Reshape((4, 6)), (4, 6), None),
    ],
    ids=str,
)
def test_an_op_leads_a_shape_back_to_its_input(op, after, before):
    assert before == op.shape_before(after)
