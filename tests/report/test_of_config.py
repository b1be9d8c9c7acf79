"""The changes of configs as rows of a plan, and for programs."""

import json

from migrate.report.of_plan import plan_report
from migrate.report.text import draw
from tests.planning.configs import planned_config, source

RULES = """
  - num_layers -> layers
  - {to: scan_layers, value: true}
  - {from: [width, heads], to: head_dim, value: "{width} // {heads}"}
  - {from: act, to: act, value: gelu}
  - {to: q_heads, value: "{heads}"}
  - drop: dropout_rate
  - {from: "model/old/**", to: "model/**"}
  - {in: config, from: n_heads, to: num_heads}
"""
RECORD = {
    "num_layers": 4,
    "width": 64,
    "heads": 8,
    "dropout_rate": 0.1,
    "act": "relu",
    "model": {"old": {"x": 1, "names": [f"a long name {i}" for i in range(9)]}},
}


def test_a_plan_draws_every_change_with_its_value(golden):
    report = plan_report(planned_config(RULES, source(RECORD, config={"n_heads": 8})), "new")
    golden("report/config.txt", draw(report))
    golden("report/config.json", json.dumps(report.data["config"], indent=1) + "\n")


def test_a_plan_without_config_rules_is_drawn_as_before():
    report = plan_report(planned_config("  []", source(RECORD)), "new")
    assert [] == [row for row in report.rows if row.verb == "config"]
    assert "config" not in report.brief
    assert [] == report.data["config"]
