import pytest

from migrate.formats.ambiguities import losses
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, parse_path

ARRAY = AbstractLeaf("array", AbstractArray((2,), "float32"))
NONE = AbstractLeaf("none")


def noted(leaves, containers=()):
    tree = AbstractTree.build(
        ((parse_path(path), leaf) for path, leaf in leaves.items()), {parse_path(path): "list" for path in containers}
    )
    return [note.paths for note in losses(tree)]


def test_a_sequence_may_have_been_a_list_or_a_tuple():
    assert [("l",)] == noted({"l/0": ARRAY, "l/1": ARRAY}, ["l"])


def test_none_in_a_sequence_may_have_been_an_empty_state():
    assert [("l",), ("l/1",)] == noted({"l/0": ARRAY, "l/1": NONE}, ["l"])


def test_a_mapping_that_counts_from_zero_may_have_been_a_sequence():
    assert [("opt/1",)] == noted({"opt/0/mu": ARRAY, "opt/1": NONE})


@pytest.mark.parametrize("leaves", [{"a": ARRAY, "b": NONE}, {"opt/1": NONE, "opt/2": ARRAY}, {"opt/0": ARRAY}])
def test_other_mappings_lose_nothing(leaves):
    assert [] == noted(leaves)
