"""The comparison of two trees: each difference in its list, and leaves without data in none."""

from migrate.planning.diff import diff
from tests.planning.trees import tree


def test_every_difference_is_in_its_list():
    source = tree({"same": "2", "old": "2", "shape": "2", "dtype": "2", "both": "2", "gone": "none"})
    target = tree({"same": "2", "new": "2", "shape": "3", "dtype": "int32:2", "both": "int32:3", "e": "{}"})
    found = diff(source, target)
    assert ((("new",),), (("old",),)) == (found.missing, found.unexpected)
    assert ({("shape",), ("both",)}, {("dtype",), ("both",)}) == ({*found.shape_mismatch}, {*found.dtype_mismatch})
    assert (("same",),) == found.same
    assert not found.equal


def test_a_number_and_an_array_of_its_dtype_agree_and_a_string_only_with_a_string():
    assert diff(tree({"a": "int64:scalar"}), tree({"a": "int64:"})).equal
    assert diff(tree({"a": "string"}), tree({"a": "string"})).equal
    assert not diff(tree({"a": "string"}), tree({"a": "int64:"})).equal


def test_leaves_without_data_make_no_difference():
    assert diff(tree({"a": "2", "n": "none"}), tree({"a": "2", "m": "{}"})).equal
