"""Every leaf has a text, from which it can be read again."""

import pytest

from migrate import dtypes
from migrate.planning.plan_file.leaf_text import leaf_text, parse_leaf
from migrate.tree import AbstractArray, AbstractLeaf, Storage


@pytest.mark.parametrize("shape", [(), (3,), (0, 2, 10**12)])
@pytest.mark.parametrize("box", [None, "value", "raw_value"])
def test_arrays_of_every_dtype(shape, box):
    leaves = [AbstractLeaf("array", AbstractArray(shape, dtype), box=box) for dtype in dtypes.NAMES]
    assert leaves == [parse_leaf(leaf_text(leaf)) for leaf in leaves]


@pytest.mark.parametrize(
    ("text", "leaf"),
    [
        ("int64 scalar", AbstractLeaf("scalar", AbstractArray((), "int64"))),
        ("string", AbstractLeaf("string")),
        ("none", AbstractLeaf("none")),
        ("empty dict", AbstractLeaf("empty")),
        ("empty tuple", AbstractLeaf("empty", container="tuple")),
        ("text[2]", AbstractLeaf("opaque", content="text[2]")),
        ("float32[3,4] (value)", AbstractLeaf("array", AbstractArray((3, 4), "float32"), box="value")),
    ],
)
def test_other_leaves(text, leaf):
    assert text == leaf_text(leaf)
    assert leaf == parse_leaf(text)


def test_how_a_leaf_is_stored_is_not_part_of_its_text():
    leaf = AbstractLeaf("array", AbstractArray((2,), "int8"), storage=Storage("zarr3", (1,)))
    assert "int8[2]" == leaf_text(leaf)
