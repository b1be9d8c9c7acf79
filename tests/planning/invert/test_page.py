"""The page about `invert` shows the file that is really written."""

import re
from pathlib import Path

from migrate.planning.invert.pipeline import invert
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from tests.planning.trees import Template, checkpoint

PAGE = (Path(__file__).parents[3] / "docs" / "invert.md").read_text()
SOURCE = {
    **{f"params/Dense_{i}/kernel": "4,4" for i in range(2)},
    **{f"params/Block_{i}/{part}/kernel": "8,2,4" for i in range(2) for part in ("query", "key", "value")},
    "params/old_head/kernel": "4",
    "params/old_head/bias": "4",
}
TARGET = {**{f"layers/{i}/kernel": "4,4" for i in (1, 2)}, "blocks/qkv/kernel": "2,8,24"}


def test_the_inverse_on_the_page_is_that_of_the_rules_on_the_page():
    rules, inverse = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
    plan = make_plan(checkpoint(SOURCE), parse_rules(rules, "rules.yaml"), Template(TARGET))
    assert plan.applicable
    assert inverse == invert(plan).text
