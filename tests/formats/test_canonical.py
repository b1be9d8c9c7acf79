from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.formats.canonical import canonical, is_canonical
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, parse_path, stored_path

ARRAY = AbstractLeaf("array", AbstractArray((2,), "float32"))


def tree(*paths, **containers):
    return AbstractTree.build(((parse_path(path), ARRAY) for path in paths), containers)


def names(found):
    return {"/".join(path): leaf.box for path, leaf in found.leaves.items()}


@pytest.mark.parametrize("level", ["value", "raw_value"])
def test_the_level_of_a_variable_is_taken_off_and_kept_as_box(level):
    found, origin = canonical(tree(f"layers/0/kernel/{level}"))
    assert {"layers/0/kernel": level} == names(found)
    assert {("layers", "0", "kernel"): ("layers", "0", "kernel", level)} == origin


def test_boxed_and_plain_leaves_of_one_checkpoint_are_decided_one_by_one():
    found, _ = canonical(tree("Dense_0/kernel/value", "Dense_0/bias"))
    assert {"Dense_0/kernel": "value", "Dense_0/bias": None} == names(found)


def test_a_module_that_is_called_value_keeps_its_name():
    paths = ("attn/value/kernel", "attn/value/bias")
    assert dict.fromkeys(paths) == names(canonical(tree(*paths))[0])


def test_a_module_called_value_with_boxed_leaves_loses_only_the_boxes():
    found, _ = canonical(tree("attn/value/kernel/value", "attn/value/bias/value"))
    assert {"attn/value/kernel": "value", "attn/value/bias": "value"} == names(found)


def test_a_value_with_siblings_is_no_box():
    paths = ("counter/value", "counter/total")
    assert dict.fromkeys(paths) == names(canonical(tree(*paths))[0])


def test_a_value_at_the_root_keeps_its_name():
    assert {"value": None} == names(canonical(tree("value"))[0])


def test_an_empty_module_called_value_is_no_box():
    stored = AbstractTree.build([(("attn", "value"), AbstractLeaf("empty"))])
    assert {"attn/value": None} == names(canonical(stored)[0])


def test_never_leaves_paths_alone():
    stored = tree("kernel/value")
    found, origin = canonical(stored, "never")
    assert stored == found
    assert {("kernel", "value"): ("kernel", "value")} == origin


def test_only_one_level_is_taken_off():
    assert {"scale/value": "value"} == names(canonical(tree("scale/value/value"))[0])


SEGMENTS = st.sampled_from(["a", "b", "value", "raw_value", "_pytree__state"])
LEAVES = st.sampled_from([ARRAY, AbstractLeaf("empty"), AbstractLeaf("none")])
BOXES = st.sampled_from([None, "value", "raw_value"])


@given(st.dictionaries(st.lists(SEGMENTS, max_size=3).map(tuple), st.tuples(LEAVES, BOXES), max_size=4))
def test_a_canonical_tree_is_read_under_the_same_key_paths(chosen):
    leaves = AbstractTree.build((path, replace(leaf, box=box)) for path, (leaf, box) in chosen.items())
    stored = {stored_path(path, leaf): replace(leaf, box=None) for path, leaf in leaves.leaves.items()}
    if is_canonical(leaves):
        found, origin = canonical(AbstractTree.build(stored.items()))
        assert leaves == found
        assert {path: stored_path(path, leaf) for path, leaf in leaves.leaves.items()} == origin


def test_boxed_and_plain_leaves_are_canonical_where_no_name_looks_like_a_box():
    boxed = replace(ARRAY, box="value")
    assert is_canonical(AbstractTree.build([(("a", "kernel"), boxed), (("a", "bias"), ARRAY)]))
    assert not is_canonical(AbstractTree.build([(("a", "value"), ARRAY)]))
    assert not is_canonical(AbstractTree.build([(("a",), boxed), (("a", "b"), ARRAY)]))
