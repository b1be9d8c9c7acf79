"""`--reverse`: one rule file leads there and back, without a second file."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import migrate

RULES = """
migrate: 1
name: gemma
target: {model: tiny, version: 2}
rules:
  - from: "model/layers/{i:int where i%2==0}/q/weight"
    to: local/q
    ops: [{rearrange: "o i -> i o"}, {stack: {axis: 1, over: i}}]
  - from: "model/layers/{i:int where i%2==1}/q/weight"
    to: global/q
    ops: [{rearrange: "o i -> i o"}, {stack: {axis: 1, over: i}}]
  - "model/layers/{i:int}/norm/weight -> norms/{i}/scale"
"""


@pytest.fixture
def there(run):
    """The old file, and what the rules made of it."""
    rng = np.random.default_rng(0)
    names = [(f"model.layers.{i}.{name}.weight", shape) for i in range(12) for name, shape in SHAPES.items()]
    save_file({name: rng.normal(size=shape).astype(np.float32) for name, shape in names}, "old.safetensors")
    Path("gemma.yaml").write_text(RULES)
    assert 0 == run("apply", "gemma.yaml", "old.safetensors", "new", "-q").exit_code
    return load_file("old.safetensors")


SHAPES = {"q": (12, 8), "norm": (8,)}


def same(old, path):
    new = load_file(path)
    assert old.keys() == new.keys()
    assert all(np.array_equal(old[name], new[name]) for name in old)


def test_a_rule_file_leads_back_bit_for_bit(run, there):
    result = run("apply", "gemma.yaml", "--reverse", "new", "back.safetensors", "--verify", "full")
    assert 0 == result.exit_code, result.output
    assert "model/layers/{0,2,4,6,8,10}/q/weight" in result.stdout
    assert "gemma.yaml:6" in result.stdout
    same(there, "back.safetensors")
    again = run("apply", "gemma.yaml", "--reverse", "new", "back.safetensors")
    assert "Nothing was written" in again.stdout


def test_check_and_diff_go_the_same_way(run, there):
    result = run("check", "gemma.yaml", "new", "--reverse")
    assert (0, "gemma.yaml applies in reverse to new: 3 rules, 14 tasks.\n") == (result.exit_code, result.stdout)
    result = run("diff", "new", "old.safetensors", "--rules", "gemma.yaml", "--reverse")
    assert 0 == result.exit_code, result.output
    assert "No differences: 24 leaves" in result.stdout


def test_a_plan_file_leads_back(run, there):
    assert 0 == run("plan", "gemma.yaml", "new", "--reverse", "-o", "back.plan.json").exit_code
    assert 0 == run("apply", "back.plan.json", "new", "back.safetensors").exit_code
    same(there, "back.safetensors")
    result = run("apply", "back.plan.json", "new", "other", "--reverse")
    assert (2, True) == (result.exit_code, "which has one direction" in result.stderr)


def test_a_dry_run_in_reverse_for_programs(run, there):
    payload = json.loads(run("apply", "gemma.yaml", "--reverse", "new", "back", "--dry-run", "--json").stdout)
    assert (True, []) == (payload["ok"], payload["diagnostics"])


def test_python_goes_the_same_way(run, there):
    with migrate.open_checkpoint("new") as checkpoint:
        plan = migrate.plan(checkpoint, "gemma.yaml", reverse=True)
        migrate.apply(plan, checkpoint, "back.safetensors")
    same(there, "back.safetensors")


def test_what_the_rules_dropped_is_a_warning_and_a_rule_without_an_inverse_an_error(run, there):
    rules = RULES.replace("rules:", "rules:\n  - drop: lost/weight")
    Path("gemma.yaml").write_text(rules)
    result = run("apply", "gemma.yaml", "--reverse", "new", "back.safetensors", "--dry-run")
    assert 0 == result.exit_code
    assert "warning[M217]" in result.output
    Path("gemma.yaml").write_text(RULES + '  - {from: embed, to: "norms/0/scale", ops: [{reshape: [8]}]}')
    result = run("apply", "gemma.yaml", "--reverse", "new", "back.safetensors")
    assert 1 == result.exit_code
    assert "error[M215]" in result.stderr
    assert "gemma.yaml:13" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "rules.yaml", "--reverse"), "--reverse needs SRC"),
        (("diff", "old.msgpack", "--template", "tiny_model:make", "--reverse"), "--reverse needs --rules"),
    ],
)
def test_a_direction_without_rules_and_checkpoint_is_refused(run, arguments, message):
    result = run(*arguments)
    assert (2, True) == (result.exit_code, message in result.stderr)
