"""Arguments of rule files in plans: their values and where these come from."""

from pathlib import Path

from migrate.formats.base import ModelConfig
from migrate.planning.planner import make_plan
from migrate.report.of_plan import plan_report
from migrate.rules.loader import parse_rules
from tests.planning.trees import checkpoint

ARGS = "args: {head: {config: head_dim, default: 128}, width: {config: [size, '{a} * {b}'], default: 3}, axis: 1}"


def report(text=ARGS):
    config = ModelConfig(Path("config.json"), {"a": 6, "b": 8})
    rules = parse_rules(f"migrate: 1\n{text}\nrules: ['a -> b']", "rules.yaml")
    return plan_report(make_plan(checkpoint({"a": "2"}, model_config=config), rules, None), "new")


def test_a_plan_names_the_value_of_each_with_its_origin():
    rows = [(row.subject, row.detail, row.place) for row in report().rows if row.verb == "arg"]
    expected = [
        ("head", "128 (default)", "rules.yaml:2"),
        ("width", "48 (`{a} * {b}` in config.json)", "rules.yaml:2"),
    ]
    assert expected == rows


def test_programs_get_them():
    of_width = {
        "name": "width",
        "value": 48,
        "origin": "config",
        "config": "{a} * {b}",
        "source": None,
        "file": "rules.yaml",
        "line": 2,
    }
    assert [("head", "default"), ("width", "config")] == [
        (one["name"], one["origin"]) for one in report().data["arguments"]
    ]
    assert of_width == report().data["arguments"][1]


def test_a_plan_of_other_rules_has_none():
    assert "arguments" not in report("args: {axis: 1}").data
