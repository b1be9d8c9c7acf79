"""Plan files carry the config rules: their names are looked up, and their values computed, for each checkpoint."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.errors import PlanError
from migrate.planning.config import nest
from migrate.planning.plan_file.bind import bound
from migrate.planning.plan_file.save import saved_text
from migrate.planning.plan_file.write import plan_text
from migrate.report.of_config import config_data
from migrate.report.of_plan_file import plan_file_report
from migrate.report.text import draw
from tests.planning.configs import CONFIGS, contents, planned_config, random_rules, source
from tests.planning.plan_file.plans import again, edited, read

RULES = """
  - num_layers -> layers
  - {from: [width, heads], to: head_dim, value: "{width} // {heads}"}
  - {to: scan, value: [true, {x: 1.5}]}
  - {drop: "old/**", in: config, optional: true}
"""
RECORD = {"num_layers": 4, "width": 64, "heads": 8}


def test_the_rules_are_in_the_file_and_the_values_are_those_of_the_checkpoint():
    plan = planned_config(RULES, source(RECORD, config={"old": {"a": 1}, "b": 2}))
    saved = read(saved_text(plan))
    assert contents(plan) == contents(bound(saved, plan.source))
    other = bound(saved, source({**RECORD, "width": 96}, config={"b": 2}))
    assert {"": {"layers": 4, "head_dim": 12, "scan": [True, {"x": 1.5}]}, "config": {"b": 2}} == contents(other)
    assert plan.digest == other.digest


def test_the_places_are_those_of_the_rule_file():
    plan = planned_config(RULES, source(RECORD, config={}))
    made = again(plan)
    assert [one.rule and one.rule.line for one in plan.config.changes] == [one.rule.line for one in made.config.changes]
    assert {"rules.yaml"} == {one.rule.file for one in made.config.changes}


def test_a_config_that_the_rules_do_not_fit_is_refused_where_the_plan_is_applied():
    saved = read(plan_text(planned_config(RULES, source(RECORD, config={}))))
    made = bound(saved, source({**RECORD, "width": 65}, config={}))
    assert ["M622"] == [one.code for one in made.diagnostics]
    made = bound(saved, source({}, config={}))
    assert ["M620"] * 3 == [one.code for one in made.diagnostics]


def test_a_mistake_in_an_edited_file_is_located():
    plan = planned_config(RULES, source(RECORD, config={}))
    with pytest.raises(PlanError) as caught:
        read(edited(plan, lambda content: content["config"][0].update(too=1)))
    assert ["M101"] == [one.code for one in caught.value.diagnostics]
    changed = read(edited(plan, lambda content: content["config"][2].update(value=3)))
    assert bound(changed, plan.source).digest != plan.digest


def test_show_draws_rules_without_values(golden):
    rules = RULES + '  - "m/{x} -> n/{x}"\n'
    plan = planned_config(rules, source({**RECORD, "m": {"a": 1}}, config={"old": {"a": 1}}))
    golden("planning/config_plan_file.txt", draw(plan_file_report(read(saved_text(plan)))) + "\n" + saved_text(plan))


@given(CONFIGS, CONFIGS, st.data())
def test_random_rules_survive_the_file(record, item, data):
    rules = data.draw(random_rules(record, exact=False))
    rules += [{**one, "in": "config"} for one in data.draw(random_rules(item))]
    plan = planned_config(f"  {json.dumps(rules)}", source(nest(record.items()), config=nest(item.items())))
    made = bound(read(saved_text(plan)), plan.source)
    assert plan.config.contents == made.config.contents
    assert config_data(plan.config) == config_data(made.config)
    assert plan_text(plan) == plan_text(made)
