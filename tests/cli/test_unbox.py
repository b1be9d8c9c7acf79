"""`source: {unbox: never}`: key paths as they are on disk, in every command that takes a rule file."""

import json

import numpy as np
import pytest
from flax import serialization

MODEL = """
import jax.numpy as jnp
from flax import nnx


class Gate(nnx.Module):
    def __init__(self):
        self.value = nnx.Param(jnp.zeros(3))


class Model(nnx.Module):
    def __init__(self):
        self.gate = Gate()
        self.kernel = nnx.Param(jnp.zeros((2, 3)))


def make():
    return Model()
"""

NEVER = """
migrate: 1
source: {unbox: never}
target: {template: "gate_model:make"}
rules: ["params/gate/value -> gate/value", "params/kernel/value -> kernel"]
"""

AUTO = """
migrate: 1
target: {template: "gate_model:make"}
rules: ["params/** -> **"]
"""


@pytest.fixture
def boxed(here):
    """A checkpoint with a boxed kernel, and a module whose only parameter is called `value`."""
    (here / "gate_model.py").write_text(MODEL)
    tree = {"gate": {"value": np.arange(3, dtype=np.float32)}, "kernel": {"value": np.ones((2, 3), np.float32)}}
    (here / "boxed.msgpack").write_bytes(serialization.msgpack_serialize({"params": tree}))
    (here / "never.yaml").write_text(NEVER)
    (here / "auto.yaml").write_text(AUTO)


@pytest.mark.parametrize("rules", ["never.yaml", "auto.yaml"])
def test_check_diff_and_apply_agree(boxed, run, here, rules):
    assert 0 == run("check", rules, "boxed.msgpack").exit_code
    assert 0 == run("diff", "boxed.msgpack", "--rules", rules).exit_code
    assert 0 == run("apply", rules, "boxed.msgpack", "new", "--verify", "full").exit_code
    assert 0 == run("verify", "new", "--source", "boxed.msgpack", "--rules", rules).exit_code
    leaves = json.loads(run("inspect", "new", "--json").stdout)["leaves"]
    assert [[3], [2, 3]] == [leaf["shape"] for leaf in leaves]


def test_paths_in_a_plan_are_those_on_disk(boxed, run):
    tasks = json.loads(run("apply", "never.yaml", "boxed.msgpack", "new", "--dry-run", "--json").stdout)["tasks"]
    assert [["params/gate/value"], ["params/kernel/value"]] == [task["sources"] for task in tasks]


def test_paths_without_the_level_match_nothing_then(boxed, run, here):
    (here / "never.yaml").write_text(NEVER.replace("params/gate/value ->", "params/gate ->"))
    assert 1 == run("check", "never.yaml", "boxed.msgpack").exit_code
