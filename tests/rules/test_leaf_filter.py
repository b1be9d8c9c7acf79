"""Includes that are narrowed by `only:` or excused by `optional:`; covers `include_type`."""

from migrate.planning.planner import make_plan
from migrate.rules.leaf_filter import Outside
from migrate.rules.loader import load_rules
from migrate.rules.pattern import Pattern
from tests.planning.trees import Template, checkpoint, codes, moves
from tests.rules.test_include import refused, rules_of

LAYER = rules_of('"q/{n} -> query/{n}"', '"k/{n} -> key/{n}"', "drop: mask")
SOURCE = {"a/q/w": "2", "a/k/w": "3", "a/mask": "1", "b/q/w": "2"}


def plan_of(source=SOURCE):
    return make_plan(checkpoint(source), load_rules("main.yaml"), None)


def test_key_paths_outside_of_patterns_match():
    outside = Outside((Pattern.parse("a/**"), Pattern.parse("{n}/w")))
    assert [None, None, {}] == [outside.match(path) for path in (("a", "x"), ("b", "w"), ("b", "x"))]
    assert {"**0", "n"} == outside.names


def test_an_include_is_narrowed_to_some_leaves(write):
    write(main=['include: {file: layer.yaml, under: a, only: ["a/q/**", "a/mask"]}', "rules: []"], layer=LAYER)
    plan = plan_of()
    assert [] == codes(plan)
    assert {("a/q/w",): ("a/query/w",), ("a/k/w",): ("a/k/w",), ("b/q/w",): ("b/q/w",)} == moves(plan)
    assert [("a", "mask")] == [drop.source for drop in plan.dropped]


def test_an_include_of_an_include_is_narrowed_in_its_own_coordinates(write):
    write(
        main=['include: {file: between.yaml, under: a, only: "a/**"}', "rules: []"],
        between=['include: {file: layer.yaml, only: "q/**"}', "rules: []"],
        layer=LAYER,
    )
    assert ("a/query/w",) == moves(plan_of())[("a/q/w",)]
    assert ("a/k/w",) == moves(plan_of())[("a/k/w",)]


def test_only_creates_what_it_names(write):
    write(
        main=['include: {file: new.yaml, to: m, only: "m/x"}', "rules: []"],
        new=rules_of("create: {to: x, init: zeros}", "create: {to: y, init: zeros}"),
    )
    assert [["x"], ["y"]] == [[str(one) for one in rule.targets] for rule in load_rules("new.yaml").rules]
    plan = make_plan(checkpoint({"k": "1"}), load_rules("main.yaml"), Template({"k": "1", "m/x": "2", "m/y": "2"}))
    assert [("m", "x")] == [creation.target for creation in plan.created]


def test_an_optional_include_may_match_nothing(write):
    write(main=["include: {file: layer.yaml, under: b}", "rules: []"], layer=LAYER)
    assert ["M201", "M201"] == codes(plan_of())
    write(main=["include: {file: layer.yaml, under: b, optional: true}", "rules: []"])
    assert [] == codes(plan_of())
    assert ("b/query/w",) == moves(plan_of())[("b/q/w",)]


def test_a_flag_that_is_none_is_refused(write):
    write(main=["include: {file: layer.yaml, optional: 1}", "rules: []"], layer=LAYER)
    (finding,) = refused()
    assert "`optional` must be `true` or `false`" in finding.message
