"""Plan files in tests: their plans, and the text of small ones."""

import json
from pathlib import Path

from migrate.planning.plan_file.bind import bound
from migrate.planning.plan_file.read import read_plan
from migrate.planning.plan_file.write import plan_text
from migrate.rules.files import RuleFile
from tests.planning.trees import planned

RULES = """
- "a/{i}/w -> b/{i}/w"
- {from: "q/{i}", to: qs, ops: [{stack: {axis: 0, over: i}}, {cast: {to: bfloat16, lossy: true}}]}
- drop: {from: old, assert: zero}
"""
SOURCE = {"a/0/w": "2,3", "a/1/w": "2,3", "q/0": "4", "q/1": "4", "old": "5", "name": "string", "n": "none"}


def small(rules=RULES, source=SOURCE, target=None, **fields):
    plan = planned(rules, source, target, **fields)
    assert plan.applicable, [d.message for d in plan.diagnostics]
    return plan


def read(text, name="plan.json", place="/project/plan.json"):
    return read_plan(text, RuleFile(name, Path(name)), place)


def again(plan, source=None):
    """The plan, by way of its text."""
    return bound(read(plan_text(plan)), source or plan.source)


def edited(plan, change):
    """The text of a plan file that was edited: `change` gets its JSON."""
    content = json.loads(plan_text(plan))
    change(content)
    return json.dumps(content, indent=1)
