"""Findings are counted, bounded and name their leaves."""

from dataclasses import replace

import numpy as np
import pytest

from migrate.engine.verification.findings import SHOWN, differs, refuse, report, structure_problems
from migrate.errors import VerifyError
from migrate.events import LeafDone
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree
from tests.engine.sources import opened, plan_for, save


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
