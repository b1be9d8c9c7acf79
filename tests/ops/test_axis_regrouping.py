import einops
import numpy as np
import pytest

from migrate.ops.axis_regrouping import blocks, cuts_across, patterns


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((96, 48), (6, 16, 48), [((96,), (6, 16)), ((48,), (48,))]),
        ((6, 16, 48), (96, 48), [((6, 16), (96,)), ((48,), (48,))]),
        ((48, 96), (6, 48, 16), [((48, 96), (6, 48, 16))]),
        ((4, 1, 6), (1, 4, 2, 3), [((4,), (4,)), ((6,), (2, 3))]),
        ((2, 3, 6), (6, 2, 3), [((2, 3), (6,)), ((6,), (2, 3))]),
        ((), (1, 1), []),
        ((0, 4), (2, 0), []),
        ((4,), (5,), []),
    ],
)
def test_the_smallest_runs_of_axes_with_one_product_are_blocks(before, after, expected):
    assert expected == blocks(before, after)


@pytest.mark.parametrize(
    ("before", "after"), [((48, 96), (6, 48, 16)), ((6, 48, 16), (48, 96)), ((4, 3), (2, 6)), ((12, 4), (3, 16))]
)
def test_a_reshape_that_joins_parts_of_axes_cuts_across(before, after):
    assert cuts_across(before, after)


@pytest.mark.parametrize(
    ("before", "after"), [((96, 48), (6, 16, 48)), ((2, 3, 6), (6, 2, 3)), ((4, 1), (1, 1, 4)), ((12,), (12,))]
)
def test_splits_and_merges_of_whole_axes_do_not_cut_across(before, after):
    assert not cuts_across(before, after)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((48, 96), (6, 48, 16), ["a (b c) -> b a c"]),
        ((6, 48, 16), (48, 96), ["a b c -> b (a c)"]),
        ((48, 1, 96), (6, 48, 16), ["a 1 (b c) -> b a c"]),
        ((48, 48), (6, 8, 48), ["a (b c) -> b c a", "(a b) c -> a b c"]),
        ((4, 3), (2, 6), []),
        ((0, 4), (4, 0), []),
    ],
)
def test_patterns_split_and_merge_whole_axes(before, after, expected):
    found = patterns(before, after, 3)

    assert expected == found or sorted(expected) == sorted(found)
    sizes = {"b": 6} if before == (48, 96) or before == (48, 1, 96) else {}
    for pattern in found if sizes else ():
        assert after == einops.rearrange(np.zeros(before), pattern, **sizes).shape


def test_no_more_patterns_are_returned_than_wanted_and_none_for_many_axes():
    assert 2 == len(patterns((4, 4, 4, 4), (4, 4, 4, 4), 2))
    assert [] == patterns((2,) * 12, (2,) * 12, 2)
