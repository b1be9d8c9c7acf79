"""The inverse of config rules: renames lead back, set names are dropped, and what is lost is stated."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrate.planning.config import flatten, nest
from migrate.planning.invert.pipeline import invert
from migrate.planning.planner import make_plan
from migrate.planning.versions.chain import result_of
from migrate.report.of_inversion import inversion_report
from migrate.report.text import draw
from migrate.rules.loader import parse_rules
from tests.planning.configs import CONFIGS, contents, planned_config, random_rules, source


def there_and_back(rules, checkpoint):
    """The inversion, and the configs after the rules and their inverse."""
    plan = planned_config(rules, checkpoint)
    assert plan.applicable, [d.message for d in plan.diagnostics]
    inversion = invert(plan)
    return inversion, contents(make_plan(result_of(plan), parse_rules(inversion.text, "back.yaml"), None))


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(CONFIGS, CONFIGS, st.data())
def test_renames_and_sets_followed_by_their_inverse_are_the_identity(record, item, data):
    rules = data.draw(random_rules(record)) + [{**one, "in": "config"} for one in data.draw(random_rules(item))]
    checkpoint = source(nest(record.items()), config=nest(item.items()))
    inversion, back = there_and_back(f"  {json.dumps(rules)}", checkpoint)
    assert inversion.exact
    assert {"": nest(record.items()), "config": nest(item.items())} == back


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(CONFIGS, st.data())
def test_any_rules_are_inverted_but_for_the_names_that_are_listed(record, data):
    rules = data.draw(random_rules(record, exact=False))
    inversion, back = there_and_back(f"  {json.dumps(rules)}", source(nest(record.items())))
    lost = {path for one in inversion.lost_config for path in one.paths}
    found = flatten(back[""])
    assert {p: v for p, v in record.items() if p not in lost} == {p: v for p, v in found.items() if p not in lost}


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
