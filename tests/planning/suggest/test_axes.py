"""Named axes: shapes that have them, and the op from one order to another."""

import pytest

from migrate.planning.suggest.axes import fits, position, rearranged, without


@pytest.mark.parametrize(
    ("source", "shape", "target", "wanted", "fit"),
    [
        ("(n h) d", (96, 48), "d n h", (48, 6, 16), True),
        ("(n h) d", (96, 48), "n d h", (48, 6, 16), False),
        ("(n h) d", (96, 48), "d n h", (48, 6, 8), False),
        ("(n h) d", (96, 48), "d (n h)", (48, 96), True),
        ("(n h) d", (96, 48), "d (n h)", (96, 48), False),
        ("(n h)", (96,), "n h", (6, 16), True),
        ("n h", (6, 16), "(n h)", (96,), True),
        ("1 v d", (1, 10, 4), "v d", (10, 4), True),
        ("1 v d", (2, 10, 4), "v d", (10, 4), False),
        ("o i", (5, 4), "i o", (4, 5, 1), False),
    ],
)
def test_shapes_fit_where_every_axis_has_one_size(source, shape, target, wanted, fit):
    assert fit == fits(source, shape, target, wanted)


@pytest.mark.parametrize(
    ("source", "target", "ops"),
    [
        ("o i", "i o", ("transpose: [1, 0]",)),
        ("o i h w", "h w i o", ("transpose: [2, 3, 1, 0]",)),
        ("(n h) d", "d (n h)", ("transpose: [1, 0]",)),
        ("(n h) d", "d n h", ('rearrange: "(n h) d -> d n h"',)),
        ("d n h", "d n h", ()),
    ],
)
def test_the_op_of_an_order_is_a_transpose_unless_axes_are_split_or_merged(source, target, ops):
    assert ops == rearranged(source, target)


def test_the_axis_of_the_parts_is_found_and_removed():
    assert ((0, True), "n d h") == (position("p n d h", "p"), without("p n d h", "p"))
    assert ((1, False), "d (n h)") == (position("d (p n h)", "p"), without("d (p n h)", "p"))
    assert "i o" == without("i (p o)", "p")
