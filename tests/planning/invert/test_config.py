"""The inverse of config rules: renames lead back, set names are dropped, and what is lost is stated."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrate.metadata import Metadata, merge
from migrate.planning.config import flatten, nest
from migrate.planning.invert.pipeline import invert
from migrate.planning.invert.reversal import reversal
from migrate.planning.planner import make_plan
from migrate.planning.versions.chain import result_of
from migrate.report.of_inversion import inversion_report
from migrate.report.text import draw
from migrate.rules.loader import parse_rules
from tests.matrix import examples
from tests.planning.configs import CONFIGS, contents, planned_config, random_rules, source


def there_and_back(rules, checkpoint):
    """The inversion, and the configs after the rules and their inverse."""
    plan = planned_config(rules, checkpoint)
    assert plan.applicable, [d.message for d in plan.diagnostics]
    inversion = invert(plan)
    return inversion, contents(make_plan(result_of(plan), parse_rules(inversion.text, "back.yaml"), None))


@settings(max_examples=examples(40), suppress_health_check=list(HealthCheck))
@given(CONFIGS, CONFIGS, st.data())
def test_renames_and_sets_followed_by_their_inverse_are_the_identity(record, item, data):
    rules = data.draw(random_rules(record)) + [{**one, "in": "config"} for one in data.draw(random_rules(item))]
    checkpoint = source(nest(record.items()), config=nest(item.items()))
    inversion, back = there_and_back(f"  {json.dumps(rules)}", checkpoint)
    assert inversion.exact
    assert {"": nest(record.items()), "config": nest(item.items())} == back


@settings(max_examples=examples(40), suppress_health_check=list(HealthCheck))
@given(CONFIGS, st.data())
def test_any_rules_are_inverted_but_for_the_names_that_are_listed(record, data):
    rules = data.draw(random_rules(record, exact=False))
    inversion, back = there_and_back(f"  {json.dumps(rules)}", source(nest(record.items())))
    lost = {path for one in inversion.lost_config for path in one.paths}
    found = flatten(back[""])
    assert {p: v for p, v in record.items() if p not in lost} == {p: v for p, v in found.items() if p not in lost}


@pytest.mark.parametrize(
    ("formula", "inverse"),
    [
        ("4 * {dim}", "{mlp} // 4"),
        ("{dim} * (2 + 2) - 1", "({mlp} + 1) // (2 + 2)"),
        ("{dim} // 8", "{mlp} * 8"),
        ("100 - {dim}", "100 - {mlp}"),
        ("-({dim} + 3)", "-{mlp} - 3"),
    ],
)
def test_arithmetic_of_one_name_is_solved(formula, inverse):
    rules = f'  - {{from: dim, to: mlp, value: "{formula}"}}'
    inversion, back = there_and_back(rules, source({"dim": 64}))
    assert inversion.exact
    assert {"": {"dim": 64}} == back
    assert f'{{from: "mlp", to: "dim", value: "{inverse}"}}' in inversion.text


@pytest.mark.parametrize("formula", ["{dim} % 7", "0 * {dim}", "{dim} * {dim}", "{dim} - {heads}", "640 // {dim}"])
def test_arithmetic_with_other_solutions_is_lost(formula):
    rules = f'  - {{from: dim, to: mlp, value: "{formula}"}}'
    inversion, _ = there_and_back(rules, source({"dim": 64, "heads": 8}))
    assert [(("dim",),)] == [one.paths for one in inversion.lost_config]


def turned_back(rules, record=None, later=None, **items):
    """What leads back from the configs that rules write, and the configs that it makes; `later` replaces the record."""
    plan = planned_config(rules, source(record, **items))
    assert plan.applicable, [d.message for d in plan.diagnostics]
    new = result_of(plan)
    if later is not None:
        new = replace(new, metadata=merge({}, Metadata(hyperparameters=later)))
    found = reversal(plan.rules, new)
    return found, contents(make_plan(new, found.rules, None))


def test_configs_lead_back_in_reverse():
    rules = """
  - num_layers -> layers
  - {to: scan_layers, value: true}
  - {from: dim, to: mlp, value: "4 * {dim}"}
  - {from: "model/old/**", to: "model/**"}
  - {in: config, from: n_embd, to: width}
  - {to: copied, value: "{dim}"}
"""
    record = {"num_layers": 4, "dim": 16, "model": {"old": {"x": 1, "y": [1, {}]}}, "act": "gelu"}
    found, back = turned_back(rules, record, config={"n_embd": 8, "k": None})
    assert () == found.findings
    assert {"": record, "config": {"n_embd": 8, "k": None}} == back
    assert "rules.yaml" in {rule.span.file for rule in found.rules.config}


def test_what_the_rules_take_from_a_config_is_named():
    rules = """
  - drop: dropout
  - {drop: maybe, optional: true}
  - {from: act, to: act, value: gelu}
  - {from: [width, heads], to: head_dim, value: "{width} // {heads}"}
  - {from: "a_{x}/{y}", to: "b/{y}"}
"""
    record = {"dropout": 0.1, "act": "relu", "width": 64, "heads": 8, "a_1": {"k": 2}}
    found, back = turned_back(rules, record)
    assert {"act": "gelu", "b": {"k": 2}} == back[""]
    assert [("M217", 5), ("M217", 7), ("M217", 8), ("M217", 9)] == [(d.code, d.span.line) for d in found.findings]
    assert "`dropout` of the record is not restored: the rules drop it" == found.findings[0].message


def test_a_config_that_the_rules_did_not_write_is_kept_and_named():
    rules = '  - num_layers -> layers\n  - {from: dim, to: mlp, value: "4 * {dim}"}'
    found, back = turned_back(rules, {"num_layers": 4, "dim": 16}, later={"mlp": 65, "kept": 1})
    assert {"mlp": 65, "kept": 1} == back[""]
    assert [("M217", 5)] == [(d.code, d.span.line) for d in found.findings]


def test_numbers_that_json_lacks_are_carried_over():
    inversion, back = there_and_back("  - a -> b", source({"a": float("nan"), "c": float("inf")}))
    assert inversion.exact
    assert "{'': {'a': nan, 'c': inf}}" == str(back)


def test_what_is_lost_is_stated_in_the_file_and_in_the_report(golden):
    record = {"num_layers": 4, "width": 64, "heads": 8, "dropout": 0.1, "act": "relu"}
    rules = """
  - num_layers -> layers
  - {to: scan_layers, value: true}
  - {from: [width, heads], to: head_dim, value: "{width} // {heads}"}
  - drop: dropout
  - {from: act, to: act, value: gelu}
  - {in: config, from: "old/**", to: "**"}
"""
    inversion, _ = there_and_back(rules, source(record, config={"old": {"a": 1, "b": {"c": 2}}}))
    report = inversion_report(inversion, "rules.yaml", "old", "back.yaml")
    assert not inversion.exact
    assert 1 == report.exit_code
    golden("planning/config_inverse.txt", inversion.text + "\n" + draw(report))
