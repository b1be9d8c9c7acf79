"""The text of a plan file: covers `write` and `schema`."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from migrate.codes import InvalidPlanFile
from migrate.errors import PlanError, Span
from migrate.planning.guards import guard
from migrate.planning.plan_file.schema import PLAN
from migrate.planning.plan_file.write import plan_text
from migrate.planning.planner import make_plan
from migrate.printable import printable
from migrate.rules.loader import load_rules, parse_rules
from migrate.sharding import parse_mesh
from migrate.tree import AbstractTree
from tests.planning.plan_file.plans import small
from tests.planning.trees import Template, checkpoint, planned
from tests.planning.versions.chains import both


def test_the_text_is_for_people(golden):
    template = {"b/0/w": "2,3", "b/1/w": "2,3", "qs": "bfloat16:2,4", "name": "string", "new": "7", "e": "{}"}
    rules = """
name: Layers become a list
target: {model: tiny, version: 2, template: "tiny:make", args: {width: 4}, layout: pure_dict}
rules:
- "a/{i}/w -> b/{i}/w"
- {from: "q/{i}", to: qs, ops: [{stack: {axis: 0, over: i}}, {cast: {to: bfloat16, lossy: true}}]}
- drop: {from: old, assert: zero}
- create: {to: new, init: {constant: 0.5}}
"""
    source = {"a/0/w": "2,3", "a/1/w": "2,3", "q/0": "4", "q/1": "4", "old": "5", "name": "string"}
    golden("planning/plan_file.json", plan_text(small(rules, source, template, extras={"metrics": {}})))


def test_one_task_is_one_line():
    lines = plan_text(small()).splitlines()
    assert 5 == sum((line.startswith('  {"from"') and "rule" in line) or "keep" in line for line in lines) + 1
    assert all(json.loads(line.strip().rstrip(",")) for line in lines if line.startswith("  {"))


def test_every_field_is_declared():
    content = json.loads(plan_text(small()))
    declared = PLAN.by_name
    assert set(content) <= set(declared)
    for entry in content["tasks"]:
        assert set(entry) <= set(declared["tasks"].type.item.by_name)


def test_the_same_inputs_are_the_same_bytes():
    assert plan_text(small()) == plan_text(small())


def test_no_path_of_a_machine_is_in_the_text(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/shared.yaml").write_text('migrate: 1\nrules: ["a -> b"]')
    (tmp_path / "rules.yaml").write_text("migrate: 1\ninclude: deep/shared.yaml\nrules: []")
    source = replace(checkpoint({"a": "2"}), path=tmp_path / "old")
    absolute = plan_text(make_plan(source, load_rules(tmp_path / "rules.yaml"), None))
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path) not in absolute
    assert absolute == plan_text(make_plan(source, load_rules("rules.yaml"), None))
    assert "deep/shared.yaml:2:" in absolute


def test_how_arrays_are_stored_is_not_in_the_text():
    plan = small()
    linked = replace(plan, tasks=tuple(replace(task, mode="relink") for task in plan.tasks))
    assert plan_text(plan) == plan_text(linked)


def test_notes_about_one_checkpoint_are_left_out_and_others_are_kept():
    plan = planned("- 'a -> x//b'", {"a": "2"})
    assert ["M106"] == [note["code"] for note in json.loads(plan_text(plan))["notes"]]
    again = replace(plan, diagnostics=(*plan.diagnostics, *guard(replace(plan.source, items={}), plan.rules, None)))
    assert not again.applicable


def test_a_plan_that_does_not_apply_is_refused():
    plan = planned("- 'nothing -> b'", {"a": "2"})
    with pytest.raises(PlanError, match="nothing"):
        plan_text(plan)


def test_a_mesh_and_the_arrays_that_are_split():
    template = Template({"a": "4,2", "b": "3"})
    rules = parse_rules("migrate: 1\nrules: []", "rules.yaml")
    plan = make_plan(checkpoint({"a": "4,2", "b": "3"}), rules, template, mesh=parse_mesh("data=2,model=-1"))
    target = json.loads(plan_text(plan))["target"]
    assert ({"data": 2, "model": -1}, None) == (target["mesh"], target.get("specs"))


@pytest.mark.parametrize("name", ["\x1b[2J", "\u202egnp", "\x7f", "##[error]x", "\U000e0041", "naïve"])
def test_key_names_cannot_act_on_a_terminal_or_a_workflow(name):
    plan = small("rules: []", {})
    leaves = {(name,): small().source.tree.leaves[("a", "0", "w")]}
    source = replace(plan.source, items={"": AbstractTree(leaves)})
    text = plan_text(make_plan(source, plan.rules, None))
    assert all(line == printable(line) for line in text.splitlines())
    assert [name] == [*json.loads(text)["tasks"][0]["from"]]


def test_numbers_that_json_lacks_are_refused():
    rules = 'target: {template: "m:f", args: {x: .inf}}\nrules: []'
    with pytest.raises(PlanError, match="cannot be written as JSON"):
        plan_text(planned(rules, {"a": "2"}, {"a": "2"}))


def test_the_name_of_a_template_is_no_absolute_path():
    plan = replace(small(), template=str(Path("/models/2.tree.json")))
    assert "2.tree.json" == json.loads(plan_text(plan))["target"]["template"]


def test_places_of_rules_have_line_and_column():
    plan = small()
    moved = next(task for task in plan.tasks if task.rule)
    assert isinstance(moved.rule, Span)
    assert f'"rule": "{moved.rule}"' in plan_text(plan)


def test_a_fused_plan_is_refused():
    fused = both({"a": "2"}, '- "a -> b"', '- "b -> c"')[1]
    with pytest.raises(PlanError) as caught:
        plan_text(fused)

    assert [InvalidPlanFile.number] == [problem.code for problem in caught.value.diagnostics]
    assert "the plan of several rule files (2.yaml, 3.yaml) cannot be saved" in caught.value.diagnostics[0].message
