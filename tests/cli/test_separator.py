"""Flat names: `inspect` prints where they are split, and `source: {separator: …}` decides it for every command.

Covers `sources`, the one place in which commands open SRC for a rule file.
"""

import json

import numpy as np
import pytest

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
