"""Tests of `config_chain`, and through `squash` and `fuse`: a chain's config rules as those of one plan."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrate.codes import ConfigConflict, InexpressibleRules
from migrate.errors import PlanError
from migrate.planning.config import configs_of, flatten, nest
from migrate.planning.planner import make_plan
from migrate.planning.versions.chain import ChainStep, plan_chain, plan_steps, recorded_source, result_of
from migrate.planning.versions.squash import squash
from migrate.report.of_plan import plan_data
from migrate.rules.loader import parse_rules
from migrate.rules.recorded_tree import RecordedTree
from tests.matrix import examples
from tests.planning.configs import CONFIGS, contents, random_rules, source
from tests.planning.trees import tree


def steps(*configs, target="", first=1):
    """Rule files without rules for leaves, with these lines of `config:`."""
    head = "migrate: 1\nsource: {{model: m, version: {}}}\ntarget: {{model: m, version: {}{}}}\nrules: []\nconfig:\n"
    texts = [head.format(at, at + 1, target) + lines for at, lines in enumerate(configs, start=first)]
    return [ChainStep(parse_rules(text, f"{at + 1}.yaml")) for at, text in enumerate(texts, start=first)]


def changes(plan):
    """Every change of a plan: what it takes, what it writes, and from what."""
    return [
        ("+".join(map("/".join, one.sources)), one.target and "/".join(one.target), one.term and one.term.text)
        for one in plan.config.changes
    ]


def fused(record, *configs):
    return plan_chain(source(record), steps(*configs))


def test_a_rename_of_a_rename_is_a_rename():
    plan = fused({"a": 1}, "  - a -> b", "  - b -> c")
    assert [("a", "c", "{a}")] == changes(plan)
    assert {"c": 1} == contents(plan)[""]
    assert '"b"' not in json.dumps(plan_data(plan)["config"])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("- a -> x", "- x -> a", []),
        ("- {to: x, value: 1}", "- drop: x", []),
        ("- {to: x, value: 1}", "- x -> y", [("", "y", "1")]),
        ("- {to: x, value: 1}", "- {from: x, to: x, value: 2}", [("", "x", "2")]),
        ("- a -> x", "- drop: x", [("a", None, None)]),
        (
            "- {from: a, to: x, value: '{a} + {b}'}",
            "- {from: x, to: y, value: '{x} * 2'}",
            [("a", "y", "({a} + {b}) * 2")],
        ),
        ("- {to: x, value: '-1'}\n  - a -> c", "- {to: y, value: '{c} - {b}'}", None),
        ("- {to: x, value: -1}", "- {to: y, value: '{b} - {x}'}", [("", "x", "-1"), ("", "y", "{b} - (-1)")]),
        ("- a -> b\n  - b -> a", "- a -> b\n  - b -> a", []),
        ("- a -> x", "- {to: y, value: '{x}'}", [("a", "x", "{a}"), ("", "y", "{a}")]),
        ("- {to: x, value: {y: 1, z: 2}}", "- x/y -> c\n  - drop: x/z", [("", "c", "1")]),
        ("- drop: a", "- {to: a, value: 3}", [("a", None, None), ("", "a", "3")]),
    ],
)
def test_changes_of_two_steps_are_joined(first, second, expected):
    files = [f"  {first}", f"  {second}"]
    plan = fused({"a": 10, "b": 4}, *files)
    assert plan.applicable, [d.message for d in plan.diagnostics]
    if expected is not None:
        assert expected == changes(plan)
    made = squash(source({"a": 10, "b": 4}), steps(*files))
    assert contents(plan) == contents(made.plan)


@st.composite
def random_chains(draw):
    """A record, and the config rules of several steps that fit one another."""
    leaves = draw(CONFIGS)
    record, files = nest(leaves.items()), []
    for _ in range(draw(st.integers(1, 4))):
        rules = draw(random_rules(leaves, exact=False))
        files.append(f"  {json.dumps(rules)}")
        leaves = flatten(contents(plan_chain(source(nest(leaves.items())), steps(files[-1])))[""])
    return record, files, leaves


@settings(max_examples=examples(20), suppress_health_check=list(HealthCheck))
@given(random_chains(), st.integers(1, 50))
def test_a_random_chain_has_one_result_fused_squashed_and_step_by_step(chain, shift):
    record, files, expected = chain
    plan = plan_chain(source(record), steps(*files))
    assert expected == flatten(contents(plan)[""])
    made = squash(source(record), steps(*files))
    other = nest((path, value + shift) for path, value in flatten(record).items())
    again = make_plan(source(other), parse_rules(made.text, "squashed.yaml"), None)
    assert contents(plan_chain(source(other), steps(*files))) == contents(again)


@settings(max_examples=examples(20), suppress_health_check=list(HealthCheck))
@given(random_chains())
def test_what_a_chain_names_between_two_steps_does_not_appear(chain):
    record, files, expected = chain
    plan = plan_chain(source(record), steps(*files))
    known = {*flatten(record), *expected}
    for change in plan.config.changes:
        read = change.term.names if hasattr(change.term, "names") else ()
        assert {*change.sources, *read, *filter(None, (change.target,))} <= known


def test_json_items_are_joined_too_and_those_that_the_last_step_leaves_stay_changed():
    checkpoint = source({}, config={"a": 1}, other={"b": 2})
    plan = plan_chain(checkpoint, steps("  - {in: config, from: a, to: x}", "  - {in: other, from: b, to: y}"))
    assert {"config": {"x": 1}, "other": {"y": 2}} == plan.json_items


def test_arguments_of_a_template_replace_the_record_and_what_was_changed_before():
    files = [*steps("  - a -> x"), *steps("  []", target=", args: {z: 3}", first=2)]
    plan = plan_chain(source({"a": 1}), files)
    assert ({"z": 3}, []) == (contents(plan)[""], changes(plan))
    plans = plan_steps(source({"a": 1}), files)
    assert {"z": 3} == configs_of(result_of(plans[-1]))[""]
    later = [*files, *steps("  - z -> y", first=3)]
    plan = plan_chain(source({"a": 1, "z": 4}), later)
    assert {"y": 3} == contents(plan)[""]
    assert {("z", "y", "3"), ("a", None, None)} == set(changes(plan))


def recorded():
    return recorded_source(RecordedTree("1.tree.json", "m", 1, tree({"w": "2"})))


def test_a_chain_is_squashed_without_a_checkpoint():
    files = steps(
        "  - a -> b\n  - {to: scan, value: true}",
        "  - {from: [b, width], to: dim, value: '{width} // {b}'}\n  - {in: config, from: x, to: y}",
    )
    made = squash(recorded(), files)
    assert made.text.endswith(
        "config:\n"
        '  - {to: "scan", value: true}\n'
        '  - {from: ["a", "width"], to: "dim", value: "{width} // {a}"}\n'
        '  - {in: "config", from: "x", to: "y"}\n'
    )
    again = make_plan(source({"a": 8, "width": 64}, config={"x": 1}), parse_rules(made.text, "squashed.yaml"), None)
    assert {"": {"dim": 8, "scan": True}, "config": {"y": 1}} == contents(again)


def test_wildcards_need_a_checkpoint_to_be_squashed():
    files = steps('  - "model/** -> net/**"', "  - a -> b")
    with pytest.raises(PlanError) as caught:
        squash(recorded(), files)
    (found,) = caught.value.diagnostics
    assert InexpressibleRules.number == found.code
    assert "--source SRC" in found.help
    assert ["a", "net/x"] != squash(source({"a": 1, "model": {"x": 2}}), files).text.splitlines()


def test_without_a_checkpoint_a_name_that_an_earlier_step_took_is_found():
    plan = plan_chain(recorded(), steps("  - drop: heads", "  - heads -> num_heads"))
    (found,) = [one for one in plan.diagnostics if one.is_error]
    assert (ConfigConflict.number, "3.yaml") == (found.code, found.span.file)


def test_with_a_checkpoint_it_is_a_name_that_matches_nothing():
    plan = plan_chain(source({"heads": 1}), steps("  - drop: heads", "  - heads -> num_heads"))
    assert ["M620"] == [one.code for one in plan.diagnostics]
