"""Requirements of rule files against models: what is refused, what is a warning, and what is not known."""

from dataclasses import replace
from pathlib import Path

import pytest

from migrate.errors import PlanError
from migrate.formats.base import ModelConfig
from migrate.planning.invert.reversal import reversal
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from tests.planning.trees import checkpoint

FILE = Path("old/config.json")
RULES = """
requires:
  - {config: [rope/theta, theta], is: 1000000, default: 10000, otherwise: warn, because: the target has one theta}
  - {config: [rope/type, scaling/type], is: [null, default], because: another file is for those}
  - {config: scalar, is: ["{head_dim}", "{width} // {heads}"], default: 256, because: there are two scales}
"""


def plan_of(content, rules=RULES, **fields):
    config = None if content is None else ModelConfig(FILE, content)
    source = checkpoint({"a": "2"}, model_config=config, **fields)
    return make_plan(source, parse_rules(f"migrate: 1{rules}rules: ['a -> b']", "rules.yaml"), None)


def found(content, **fields):
    return [(one.severity, one.span.line, one.message) for one in plan_of(content, **fields).diagnostics]


GOOD = {"theta": 1e6, "scalar": 16, "head_dim": 16}


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD | {"theta": None, "rope": {"theta": 1000000, "type": "default"}, "scaling": None},
        {"theta": 1e6, "width": 512, "heads": 2},
        {"theta": 1e6, "width": 48, "heads": 7, "head_dim": 3, "scalar": 3},  # an inexact formula has no value
    ],
)
def test_a_model_that_meets_them_passes(content):
    plan = plan_of(content)
    assert ((), True) == (plan.diagnostics, plan.applicable)


def test_a_warning_names_file_line_and_both_values_and_the_plan_is_applicable():
    plan = plan_of(GOOD | {"theta": 5e5})
    (one,) = plan.diagnostics
    assert ("M225", "warning", "rules.yaml:3:6", True) == (one.code, one.severity, str(one.span), plan.applicable)
    expected = "`old/config.json` has `theta`: 500000.0, and `rules.yaml` requires 1000000: the target has one theta"
    assert expected == one.message
    assert "`include: {file: rules.yaml, requires: false}`" in one.help


def test_the_absence_of_a_name_means_its_default():
    message = "`old/config.json` has no `rope/theta`, which means 10000, and `rules.yaml` requires 1000000"
    assert message in found({"scalar": 16, "head_dim": 16})[0][2]


def test_another_value_is_refused():
    plan = plan_of(GOOD | {"scaling": {"type": "llama3"}})
    assert ([4], False) == ([one.span.line for one in plan.diagnostics if one.is_error], plan.applicable)


def test_formulas_are_named_with_their_values():
    content = {"theta": 1e6, "head_dim": 16, "width": 48, "heads": 6, "scalar": 144}
    assert "requires 16 (`head_dim`) or 8 (`{width} // {heads}`)" in found(content)[0][2]
    assert "requires `head_dim` or `{width} // {heads}`" in found({"theta": 1e6, "scalar": 144})[0][2]


@pytest.mark.parametrize(("value", "passes"), [("true", True), ("1", False), ("[[]]", False), ("'true'", False)])
def test_true_is_not_one(value, passes):
    rules = f"\nrequires: [{{config: tied, is: {value}, because: why}}]\n"
    assert passes == plan_of({"tied": True}, rules).applicable


def test_an_argument_is_required_without_a_configuration():
    rules = "\nargs: {n: {config: heads, default: 2}}\nrequires: [{arg: n, is: [2, 4], because: why}]\n"
    assert plan_of(None, rules).applicable
    plan = plan_of({"heads": 3}, rules)
    assert ["the argument `n` is 3, and `rules.yaml` requires 2 or 4: why"] == [d.message for d in plan.diagnostics]


def test_without_a_configuration_a_note_names_what_is_not_checked():
    (one,) = plan_of(None).diagnostics
    assert ("M226", "note") == (one.code, one.severity)
    assert "there is no `config.json`: `rope/theta` or `theta` is 1000000; `rope/type` or" in one.message
    assert () == plan_of(None, knows_config=False).diagnostics  # the tree of a version in a folder of rule files


@pytest.mark.parametrize(
    ("content", "where"), [(None, "there is no `config.json`"), ({}, "`old/config.json` does not state `heads`")]
)
def test_a_note_names_an_argument_whose_value_nothing_states(content, where):
    (one,) = plan_of(content, "\nargs: {n: {config: heads, default: 2}}\n").diagnostics
    assert ("M227", f"`n` = 2 is the default of `rules.yaml`, as {where}") == (one.code, one.message)
    assert "`--arg n=2`" in one.help


@pytest.mark.parametrize("rules", [RULES, "\nargs: {n: {config: heads, default: 2}}\n"])
def test_a_configuration_that_cannot_be_read_is_refused_where_rules_need_it(rules):
    source = checkpoint({"a": "2"}, model_config=ModelConfig(FILE, problem="it is not JSON"))
    plan = make_plan(source, parse_rules(f"migrate: 1{rules}rules: ['a -> b']", "rules.yaml"), None)
    assert ["M640"] == [one.code for one in plan.diagnostics]
    assert make_plan(source, parse_rules("migrate: 1\nrules: ['a -> b']", "rules.yaml"), None).applicable


def test_a_formula_that_cannot_be_computed_is_not_met():
    rules = "\nrequires: [{config: '{width} // {heads}', is: 8, because: why}]\n"
    (one,) = plan_of({"width": 48, "heads": 7}, rules).diagnostics
    assert ("M225", "error", True) == (one.code, one.severity, "cannot be computed" in one.message)


def back(content, rules):
    source = checkpoint({"b": "2"}, model_config=ModelConfig(FILE, content))
    return reversal(parse_rules(f"migrate: 1{rules}rules: ['a -> b']", "rules.yaml"), source)


def test_the_way_back_is_checked_too():
    assert ["M225"] == [one.code for one in back(GOOD | {"theta": 5e5}, RULES).findings]
    with pytest.raises(PlanError, match="another file is for those"):
        back(GOOD | {"scaling": {"type": "llama3"}}, RULES)


def test_the_way_back_takes_arguments_from_the_configuration():
    rules = "\nargs: {n: {config: heads, default: 2}}\n"
    source = checkpoint({"b": "2"}, model_config=ModelConfig(FILE, {"heads": 4}))
    text = f"migrate: 1{rules}rules: [{{from: a, to: b, ops: [scale: {{by: '1/${{n}}'}}]}}]"
    turned = reversal(parse_rules(text, "rules.yaml"), source)
    assert [("n", 4)] == [(one.name, one.value) for one in turned.rules.arguments]
    assert "4" == turned.rules.rules[0].ops[0].op.by


def test_rules_for_a_named_source_are_for_its_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = checkpoint({"a": "2"}, model_config=ModelConfig(Path("vision/config.json"), {"kind": "vit", "heads": 4}))
    part = "migrate: 1\nargs: {n: {config: heads, default: 2}}\nrequires: [{config: kind, is: vit, because: why}]\n"
    Path("part.yaml").write_text(part + 'rules: ["a -> b${n}"]')
    text = 'migrate: 1\nsources: {vision: null}\ninclude: {file: part.yaml, under: "vision:", to: .}\nrules: []'
    rules = parse_rules(text, "rules.yaml")
    main = checkpoint(
        {"c": "2"}, model_config=ModelConfig(FILE, {"kind": "llama", "heads": 7}), sources={"vision": named}
    )
    plan = make_plan(main, rules, None)
    assert ((), {("b4",), ("c",)}) == (plan.diagnostics, set(plan.target.leaves))
    without = make_plan(replace(main, sources={"vision": replace(named, model_config=None)}), rules, None)
    assert ["M226", "M227"] == [one.code for one in without.diagnostics]
    assert all("the source `vision` has no `config.json`" in one.message for one in without.diagnostics)
