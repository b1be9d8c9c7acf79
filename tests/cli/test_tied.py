"""Tied leaves become untied, and untied ones tied if they are equal, by a rule file and by a plan file."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

UNTIE = """
migrate: 1
rules:
  - {from: embed/weight, to: lm_head/kernel, ops: [{transpose: {}}], copy: true}
"""
TIE = """
migrate: 1
rules:
  - drop: {from: lm_head/kernel, ops: [{transpose: {}}], assert: {equal: embed/weight}}
"""


@pytest.fixture
def tied(run):
    Path("untie.yaml").write_text(UNTIE)
    Path("tie.yaml").write_text(TIE)
    weight = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    save_file({"embed.weight": weight, "norm": np.ones(4, np.float32)}, "tied.safetensors")
    save_file(
        {"embed.weight": weight, "lm_head.kernel": weight.T.copy(), "norm": np.ones(4, np.float32)}, "two.safetensors"
    )
    return weight


def same(one, other):
    one, other = load_file(one), load_file(other)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("by", ["rules", "plan"])
@pytest.mark.parametrize(
    ("rules", "source", "expected"),
    [("untie", "tied.safetensors", "two.safetensors"), ("tie", "two.safetensors", "tied.safetensors")],
)
def test_one_becomes_two_and_two_become_one(run, tied, rules, source, expected, by):
    name = f"{rules}.yaml"
    if by == "plan":
        assert 0 == run("plan", name, source, "-o", "p.plan.json").exit_code
        name = "p.plan.json"
    result = run("apply", name, source, "new.safetensors", "--verify", "full")
    assert 0 == result.exit_code, result.output
    same(expected, "new.safetensors")


def test_leaves_that_differ_are_not_tied(run, tied):
    save_file({**load_file("two.safetensors"), "lm_head.kernel": tied.T + 1}, "trained.safetensors")
    result = run("apply", "tie.yaml", "trained.safetensors", "new")
    assert 1 == result.exit_code
    assert "36 of its values differ from those of `embed/weight`" in result.stderr
    assert not Path("new").exists()


def test_the_plan_names_the_condition(run, tied):
    result = run("apply", "tie.yaml", "two.safetensors", "new", "--dry-run")
    assert "only if equal to embed/weight" in result.stdout


def test_the_inverse_of_one_is_the_other(run, tied):
    result = run("invert", "untie.yaml", "tied.safetensors", "-o", "back.yaml")
    assert 0 == result.exit_code, result.output
    assert 0 == run("apply", "back.yaml", "two.safetensors", "new.safetensors").exit_code
    same("tied.safetensors", "new.safetensors")
    assert "assert: {equal:" in Path("back.yaml").read_text()
    result = run("invert", "tie.yaml", "two.safetensors", "-o", "there.yaml")
    assert 0 == result.exit_code, result.output
    assert "copy: true" in Path("there.yaml").read_text()
    assert 0 == run("apply", "there.yaml", "tied.safetensors", "again.safetensors").exit_code
    same("two.safetensors", "again.safetensors")
