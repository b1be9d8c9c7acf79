"""Config rules as fields and lines: what is written is read as the same rule."""

import json

from hypothesis import given
from hypothesis import strategies as st

from migrate.planning.rule_text.config import change_fields, config_fields, config_lines
from migrate.rules.loader import parse_rules
from tests.planning.configs import CONFIGS, contents, planned_config, random_rules, source

RULES = r"""
  - a -> b
  - {in: config, from: [a, "m/**"], drop: true, except: ["m/x", {regex: "m/[yz]"}], optional: true}
  - {from: {regex: "(?P<n>[ab])"}, to: "m/{n}"}
  - {to: c, value: [1, {x: "{y}"}]}
  - {to: c, value: '\{x} ✓ ##[x]'}
  - {from: x, to: c, value: "{x} * 2"}
"""


def parsed(lines):
    return parse_rules("migrate: 1\nrules: []\n" + "\n".join(lines), "rules.yaml").config


def fields(rules):
    return [config_fields(rule) for rule in rules]


def test_every_form_is_read_as_it_was_written():
    found = fields(parsed(["config:", RULES]))
    assert 6 == len(found)
    assert found == fields(parsed(config_lines(found)))


def test_no_rules_are_no_lines():
    assert [] == list(config_lines([]))


@given(CONFIGS, st.data())
def test_the_rules_of_changes_make_the_changes(leaves, data):
    checkpoint = source({"/".join(path): value for path, value in leaves.items()})
    flat = {("/".join(path),): value for path, value in leaves.items()}
    plan = planned_config(f"  {json.dumps(data.draw(random_rules(flat, exact=False)))}", checkpoint)
    lines = list(config_lines([change_fields(change) for change in plan.config.changes])) or ["config: []"]
    again = planned_config("\n".join(lines[1:]) or "  []", checkpoint)
    assert contents(plan) == contents(again)
