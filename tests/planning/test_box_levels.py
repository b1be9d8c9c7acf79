"""The template decides whether a level `value` is a box or a parameter's name."""

from pathlib import Path

from migrate.formats.canonical import canonical
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.diff import diff
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from tests.planning.trees import Template, codes, moves, planned, tree

STORED = {
    "params/gate/value": "3",
    "params/lin/kernel/value": "2,3",
    "mu/gate/value": "3",
    "mu/lin/kernel/value": "2,3",
}


def plan_of(rules, stored, target):
    """Returns a plan for a tree as it is stored on disk."""
    checkpoint = AbstractCheckpoint(Path("old"), "test", {"": canonical(tree(stored))[0]})
    return make_plan(checkpoint, parse_rules(f"migrate: 1\nrules: {rules}", "rules.yaml"), Template(target))


def test_a_parameter_that_the_template_calls_value_gets_its_name_back():
    target = {"gate/value": "3", "lin/kernel": "2,3", "opt/gate/value": "3", "opt/lin/kernel": "2,3"}
    plan = plan_of('["params/** -> **", "mu/** -> opt/**"]', STORED, target)
    assert [] == codes(plan)
    assert {
        ("params/gate",): ("gate/value",),
        ("params/lin/kernel",): ("lin/kernel",),
        ("mu/gate",): ("opt/gate/value",),
        ("mu/lin/kernel",): ("opt/lin/kernel",),
    } == moves(plan)


def test_a_leaf_that_keeps_its_path_gets_it_back_too():
    assert {("gate",): ("gate/value",)} == moves(plan_of("[]", {"gate/value": "3"}, {"gate/value": "3"}))


def test_a_box_stays_one_where_the_template_has_the_leaf_itself():
    assert {("gate",): ("gate",)} == moves(plan_of("[]", {"gate/value": "3"}, {"gate": "3"}))


def test_a_leaf_without_a_box_is_not_moved_below_itself():
    assert ["M204", "M205"] == codes(planned("rules: []", {"gate": "3"}, {"gate/value": "3"}))


def test_a_comparison_gives_the_name_back_as_well():
    found = diff(
        canonical(tree({"gate/value": "3", "lin/kernel/value": "2,3"}))[0],
        tree({"gate/value": "3", "lin/kernel": "2,3"}),
    )
    assert found.equal
    assert {("gate", "value"), ("lin", "kernel")} == set(found.same)
