"""`rearrange` does what einops does; covers `axis_pattern` as well, its notation."""

import einops
import numpy as np
import pytest
from hypothesis import given, settings

from migrate.ops.base import OpError, avals
from migrate.ops.rearrange import Rearrange
from migrate.testing.ops import op_cases
from migrate.tree import AbstractArray


@settings(deadline=None)
@given(case=op_cases("rearrange"))
def test_it_does_what_einops_does(case):
    op, (array,) = case

    expected = einops.rearrange(array, op.pattern, **dict(op.sizes))

    assert avals(expected) == op.infer(*avals(array))
    assert expected.tobytes() == op.apply(array)[0].tobytes()


@pytest.mark.parametrize(
    ("pattern", "sizes", "shape", "expected"),
    [
        ("d h k -> d (h k)", (), (4, 2, 3), (4, 6)),
        ("(h k) d -> h k d", (("h", 2),), (6, 4), (2, 3, 4)),
        ("(h k) d -> h k d", (("k", 3),), (6, 4), (2, 3, 4)),
        ("a 1 -> a", (), (4, 1), (4,)),
        ("a -> 1 a ()", (), (4,), (1, 4, 1)),
        ("... a -> a ...", (), (2, 3, 4), (4, 2, 3)),
        ("a ... -> a (...)", (), (2, 3, 4), (2, 12)),
        ("->", (), (), ()),
        ("(h k) -> h k", (("h", 0), ("k", 3)), (0,), (0, 3)),
    ],
)
def test_patterns_of_every_form_give_the_right_shape(pattern, sizes, shape, expected):
    op = Rearrange(pattern, sizes)

    assert (AbstractArray(expected, "float32"),) == op.infer(AbstractArray(shape, "float32"))
    assert expected == op.apply(np.zeros(shape, np.float32))[0].shape


def test_the_inverse_swaps_the_sides_and_gives_the_sizes_of_merged_axes():
    inverse = Rearrange("d h k -> d (h k)").inverse(AbstractArray((4, 2, 3), "float32"))

    assert Rearrange("d (h k) -> d h k", (("h", 2), ("k", 3))) == inverse


def test_the_inverse_of_a_merged_ellipsis_names_its_axes_without_taking_a_name_that_is_used():
    inverse = Rearrange("axis0 ... -> (... axis0)").inverse(AbstractArray((2, 3, 4), "float32"))

    assert "(axis_0 axis_1 axis0) -> axis0 axis_0 axis_1" == inverse.pattern


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a b", "`a b` has no `->`"),
        ("a -> a b", "`a -> a b` names `b` on one side only"),
        ("a a -> a", "`a a -> a` names an axis twice on one side"),
        ("a ... -> a", "`a ... -> a` names `...` on one side only"),
        ("(a ...) -> a ...", "`(a ...) -> a ...` merges `...` on the left, where nothing says how many axes it is"),
        ("(a -> a", "`(a -> a` has a parenthesis that is not closed"),
        ("a) -> a", "`)` has no place in `a) -> a`; axes are names, `1`, `...` and groups in parentheses"),
        ("a 2 -> a 2", "`2` has no place in `a 2 -> a 2`; axes are names, `1`, `...` and groups in parentheses"),
        ("a -> b -> a", "`-` has no place in `a -> b -> a`; axes are names, `1`, `...` and groups in parentheses"),
    ],
)
def test_an_invalid_pattern_is_refused_at_once(pattern, message):
    with pytest.raises(OpError) as caught:
        Rearrange(pattern)

    assert message == str(caught.value)


@pytest.mark.parametrize("sizes", [(("x", 2),), (("a", -1),)])
def test_invalid_sizes_are_refused_at_once(sizes):
    with pytest.raises(OpError):
        Rearrange("(a b) -> a b", sizes)


@pytest.mark.parametrize(
    ("pattern", "sizes", "message"),
    [
        ("a b c -> c b a", (), "`a b c -> c b a` does not name the 2 axes of float32[6,4]"),
        ("a -> a", (), "`a -> a` does not name the 2 axes of float32[6,4]"),
        ("(a b) c -> a b c", (), "`(a b) c -> a b c` splits axis 0 of float32[6,4]; `sizes` must give `a` or `b`"),
        (
            "(a b) c -> a b c",
            (("a", 4),),
            "axis 0 of float32[6,4] has size 6, which `a b` cannot make: 4 does not divide it",
        ),
        (
            "(a b) c -> a b c",
            (("a", 2), ("b", 2)),
            "axis 0 of float32[6,4] has size 6, which `a b` cannot make: it makes 4",
        ),
        ("1 a -> a", (), "axis 0 of float32[6,4] has size 6, which `1` cannot make: it makes 1"),
    ],
)
def test_a_pattern_that_does_not_fit_the_array_is_an_error(pattern, sizes, message):
    with pytest.raises(OpError) as caught:
        Rearrange(pattern, sizes).infer(AbstractArray((6, 4), "float32"))

    assert message == str(caught.value)


def test_a_size_of_zero_beside_an_unknown_one_is_ambiguous_and_an_error():
    with pytest.raises(OpError, match="cannot make"):
        Rearrange("(a b) -> a b", (("a", 0),)).infer(AbstractArray((0,), "float32"))


@pytest.mark.parametrize(
    ("op", "shape", "order"),
    [
        (Rearrange("(n h) d -> d n h", (("n", 6),)), (96, 48), "(n h) = 6 × 16"),
        (Rearrange("a b (c d) -> (a b) d c", (("c", 2),)), (4, 3, 6), "(c d) = 2 × 3, (a b) = 4 × 3"),
        (Rearrange("(n h) d -> d n h", (("n", 1),)), (96, 48), ""),
        (Rearrange("a b -> b a"), (96, 48), ""),
    ],
)
def test_the_order_of_factors_cannot_be_seen(op, shape, order):
    assert order == op.unseen_order(AbstractArray(shape, "float32"))
