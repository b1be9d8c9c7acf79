"""The tree that rules derive from the source when there is no template."""

from dataclasses import replace

from migrate.planning.derived_tree import derive_tree
from migrate.planning.model import Created
from migrate.tree import AbstractTree
from tests.planning.trees import leaf, planned, tree


def boxed(leaves, box="raw_value"):
    """Returns a tree whose leaves all had a level that Flax adds on disk."""
    return AbstractTree({path: replace(each, box=box) for path, each in tree(leaves).leaves.items()}, {})


def tasks_of(rules, leaves):
    return planned(rules, leaves).tasks


def test_a_box_of_another_name_becomes_todays_or_none():
    tasks = tasks_of('- "a -> b"', {"a": "2"})
    assert "value" == derive_tree(boxed({"a": "2"}), tasks, [], boxes=True).leaves[("b",)].box
    assert derive_tree(boxed({"a": "2"}), tasks, [], boxes=False).leaves[("b",)].box is None


def test_sources_of_which_one_has_no_box_make_a_leaf_without_one():
    tasks = tasks_of("- {from: [a, b], to: c, ops: [{concat: {axis: 0}}]}", {"a": "2", "b": "2"})
    source = AbstractTree({**boxed({"a": "2"}).leaves, **tree({"b": "2"}).leaves}, {})
    assert derive_tree(source, tasks, [], boxes=True).leaves[("c",)].box is None


def test_a_number_that_goes_through_an_op_becomes_an_array_and_a_renamed_one_stays_a_number():
    source = {"step": "int64:scalar"}
    renamed = derive_tree(tree(source), tasks_of('- "step -> n"', source), [], boxes=True)
    cast = derive_tree(tree(source), tasks_of("- {from: step, to: n, ops: [{cast: int32}]}", source), [], boxes=True)
    assert ("scalar", "array") == (renamed.leaves[("n",)].kind, cast.leaves[("n",)].kind)


def test_created_leaves_are_part_of_the_tree():
    made = derive_tree(tree({"a": "2"}), tasks_of("", {"a": "2"}), [Created(("new",), leaf("3"))], boxes=True)
    assert {("a",), ("new",)} == {*made.leaves}


def test_a_tuple_that_moves_whole_stays_one():
    plan = planned('- "a/** -> x/**"', {"a/0": "2", "a/1": "3"}, containers={"a": "tuple"})
    assert "tuple" == plan.target.container(("x",))
