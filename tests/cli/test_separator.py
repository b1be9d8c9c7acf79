"""Flat names: `inspect` prints where they are split, and `source: {separator: …}` decides it for every command.

Covers `sources`, the one place in which commands open SRC for a rule file.
"""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

NAMES = {"net/~/linear//w": (2, 3), "net/~/linear//b": (3,), "net/out//w": (3, 1)}

FOUND = """
migrate: 1
rules: ["net/~/linear//{x} -> linear/{x}", "net/out//w -> out/kernel"]
"""

CHOSEN = r"""
migrate: 1
source: {separator: "//"}
rules: ['net\/~\/linear/{x} -> linear/{x}', 'net\/out/w -> out/kernel']
"""


@pytest.fixture
def old(here):
    np.savez(here / "old.npz", **{name: np.ones(shape, np.float32) for name, shape in NAMES.items()})
    return "old.npz"


def test_inspect_prints_the_separator_and_key_paths_that_rules_accept(old, run):
    assert "split at `/`" in run("inspect", old).stdout
    data = json.loads(run("inspect", old, "--json").stdout)
    assert ("/", [*NAMES]) == (data["separator"], sorted((leaf["path"] for leaf in data["leaves"]), key=[*NAMES].index))


@pytest.mark.parametrize("rules", [FOUND, CHOSEN])
def test_every_command_splits_names_as_the_rules_say(old, run, here, rules):
    (here / "rules.yaml").write_text(rules)
    assert 0 == run("check", "rules.yaml", old).exit_code
    assert 0 == run("apply", "rules.yaml", old, "new", "--verify", "full").exit_code
    assert 0 == run("verify", "new", "--source", old, "--rules", "rules.yaml").exit_code
    assert 0 == run("invert", "rules.yaml", old).exit_code
    assert {"linear/w", "linear/b", "out/kernel"} == {
        leaf["path"] for leaf in json.loads(run("inspect", "new", "--json").stdout)["leaves"]
    }


MODEL = """
from flax import nnx


class Model(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(*sizes, rngs=rngs) for sizes in ((4, 8), (8, 8), (8, 3))])


def make():
    return Model(nnx.Rngs(0))
"""


@pytest.mark.parametrize("separator", [",", "//", ".", ":", "__"])
def test_suggest_is_right_without_an_edit_on_flat_names(separator, here, run):
    (here / "layered.py").write_text(MODEL)
    arrays = {}
    for number, (size, width) in enumerate(((4, 8), (8, 8), (8, 3))):
        for leaf, shape in (("kernel", (size, width)), ("bias", (width,))):
            arrays[separator.join(("params", f"dense{number}", leaf))] = np.full(shape, number, np.float32)
    np.savez(here / "flat.npz", **arrays)
    result = run("suggest", "flat.npz", "--template", "layered:make", "-o", "suggested.yaml")
    assert 0 == result.exit_code, result.output
    result = run("apply", "suggested.yaml", "flat.npz", "new.safetensors")
    assert 0 == result.exit_code, result.output
    found = load_file(here / "new.safetensors")
    assert {f"layers.{n}.{leaf}": float(n) for n in range(3) for leaf in ("kernel", "bias")} == {
        name: float(array.flat[0]) for name, array in found.items()
    }
