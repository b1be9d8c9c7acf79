"""Findings are counted, bounded and name their leaves."""

from dataclasses import replace

import numpy as np
import pytest

from migrate.engine.verification.findings import SHOWN, differs, refuse, report, structure_problems
from migrate.errors import VerifyError
from migrate.events import LeafDone
from migrate.metadata import Metadata, merge
from migrate.planning.versions.chain import result_of
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree
from tests.engine.sources import opened, plan_for, save
from tests.planning.configs import planned_config
from tests.planning.configs import source as config_source


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save(tmp_path_factory.mktemp("source") / "old", {"a": np.ones(3, np.float32), "b": np.ones(2)})


@pytest.fixture
def plan(source):
    with opened(source) as reader:
        return plan_for(reader)


def test_nothing_found_is_no_error():
    refuse([])


@pytest.mark.parametrize("count", [1, SHOWN, SHOWN + 1, SHOWN + 30])
def test_the_first_findings_are_described_and_the_others_counted(count):
    with pytest.raises(VerifyError) as failure:
        refuse(differs((str(number),), "wrong") for number in range(count))
    shown = [d.message for d in failure.value.diagnostics]
    assert [f"`{number}`: wrong" for number in range(min(count, SHOWN))] == shown[:SHOWN]
    assert ([f"{count - SHOWN} more leaves differ"] if count > SHOWN else []) == shown[SHOWN:]


def test_a_listener_hears_of_every_compared_leaf(plan):
    heard = []
    report([("a",), ("b",)], plan, heard.append)
    assert [LeafDone("verify", ("a",), 12), LeafDone("verify", ("b",), 16)] == heard


def test_a_tree_is_compared_with_the_plans_target(source, plan):
    with opened(source) as reader:
        found = reader.abstract()
    assert [] == list(structure_problems(plan, found))
    leaf = AbstractLeaf("array", AbstractArray((3,), "int32"))
    other = replace(found, items={"": AbstractTree.build([(("a",), leaf), (("c",), leaf)])})
    if other.tree.leaves.keys() != {("a",), ("c",)}:
        other = replace(other, tree=AbstractTree.build([(("a",), leaf), (("c",), leaf)]))
    messages = [d.message for d in structure_problems(plan, other)]
    assert ["`a`: it is int32[3], not float32[3]", "`b`: it is missing", "`c`: it is not in the plan"] == messages


def test_an_item_that_is_missing_is_named(source, plan):
    with opened(source) as reader:
        found = reader.abstract()
    items = replace(plan, rules=replace(plan.rules, target=replace(plan.rules.target, layout="items")))
    assert ["item `a` is missing", "item `b` is missing"] == [d.message for d in structure_problems(items, found)]


def test_a_config_that_is_not_the_one_of_the_plan_is_a_finding_for_each_name():
    rules = '  - a -> b\n  - {in: config, to: x, value: 1}\n  - {in: config, to: "odd name", value: 2}'
    plan = planned_config(rules, config_source({"a": True}, config={}))
    written = result_of(plan)
    assert [] == list(structure_problems(plan, written))
    metadata = merge({}, Metadata(hyperparameters={"b": 1}))
    found = structure_problems(plan, replace(written, extras={"config": {"x": 1, "y": None}}, metadata=metadata))
    assert [
        "`b` of the record is 1, not true",
        "`odd name` of the JSON item `config` is absent, not 2",
        "`y` of the JSON item `config` is null, not absent",
    ] == [one.message for one in found]


def test_a_file_that_has_no_place_for_metadata_is_not_asked_for_a_config():
    plan = planned_config("  - a -> b", config_source({"a": 1}))
    bare = replace(result_of(plan), metadata={})
    assert ["`b` of the record is absent, not 1"] == [one.message for one in structure_problems(plan, bare)]
    number = AbstractTree({("w",): AbstractLeaf("scalar", AbstractArray((), "int64"))})
    plan = replace(plan, target=number)
    assert [] == list(structure_problems(plan, replace(bare, items={"": number})))
