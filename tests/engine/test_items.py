"""A target's tree as one pytree or as the items of a step."""

import pytest

from migrate.engine.items import DEFAULT_ITEM, SINGLE, item_of, item_plans, recorded_tree, stored_name
from migrate.formats.detect import open_reader
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree
from tests.engine.sources import opened, plan_for, save

TREE = {"params": {"w": [1.0]}, "step": 7}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save(tmp_path_factory.mktemp("source") / "old", TREE)


def plan_of(source, layout=""):
    with opened(source) as reader:
        return plan_for(reader, f"rules: []{layout}")


@pytest.mark.parametrize(("box", "name"), [(None, "a.b"), ("value", "a.b.value")])
def test_stored_names_are_orbaxs(box, name):
    assert name == stored_name(("a", "b"), AbstractLeaf("array", box=box))


def test_a_pytree_is_one_item_without_a_name(source):
    (item,) = item_plans(plan_of(source))
    assert (SINGLE, ()) == (item.name, item.prefix)
    assert source == item.directory(source)


def test_a_layout_of_items_makes_one_item_of_each_top_level_key(source):
    plan = plan_of(source, "\ntarget: {layout: items}")
    items = item_plans(plan)
    assert {"params": [("w", "0")], "step": [()]} == {item.name: list(item.tree.leaves) for item in items}
    owner = item_of(items)
    assert plan.target.leaves.keys() == owner.keys()
    assert ("w", "0") == owner[("params", "w", "0")].inner(("params", "w", "0"))
    assert source / "params" == owner[("params", "w", "0")].directory(source)


def test_a_pytree_that_becomes_a_step_has_orbaxs_default_name(source):
    from dataclasses import replace

    (item,) = item_plans(replace(plan_of(source), as_step=True))
    assert DEFAULT_ITEM == item.name


def test_the_recorded_tree_is_the_one_that_a_reader_finds(source):
    plan = plan_of(source)
    with open_reader(source) as reader:
        assert reader.abstract().tree.signature == recorded_tree(plan.target).signature


def test_the_recorded_tree_lacks_levels_that_look_like_flaxs():
    leaf = AbstractLeaf("array", AbstractArray((2,), "float32"), box="value")
    tree = AbstractTree.build([(("a", "b"), leaf)])
    assert [("a", "b")] == list(recorded_tree(tree).leaves)
