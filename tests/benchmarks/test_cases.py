"""Each case runs, and does what its title names, on a much smaller checkpoint."""

import json
import sys

import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner

from migrate.cli.main import migrate
from tests.benchmarks import checkpoints, run
from tests.benchmarks.cases import CASES
from tests.benchmarks.layers import write_layers
from tests.benchmarks.rule_texts import RULES

GROWTH = [case for case in CASES if case.part.startswith("growth")]
MEMORY = [case for case in CASES if case.key.endswith("-64MiB")]
LINKED = {"rename", "stack"}
SIZES = {"layers": 200 * 1024 / 1e9, "transformer": 0.03}
"""Gigabytes that are not a thousandth: `tune` divides arrays of more than 64 KiB only."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A function that returns a checkpoint of a kind, written once."""
    folder = tmp_path_factory.mktemp("sources")

    def source(kind):
        path = folder / kind
        if not path.exists():
            checkpoints.write(kind, path, SIZES.get(kind, 0.001))
        return path

    return source


@pytest.mark.sample(3)
@pytest.mark.parametrize("case", [*GROWTH, *MEMORY], ids=lambda case: case.key)
def test_a_case_runs_and_passes_the_bytes_that_its_title_names(sources, tmp_path, case):
    for name, text in RULES.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    words = [str(word) for word in case.arguments(tmp_path, sources(case.kind), tmp_path / "new")]
    done = CliRunner().invoke(migrate, words)
    assert 0 == done.exit_code, done.output
    if "--dry-run" in case.options:
        assert not (tmp_path / "new").exists()
    else:
        passed = json.loads(done.stdout)["bytes_read"]
        assert (case.what in LINKED) == (passed < 100_000), passed


def test_repeated_layers_are_a_checkpoint_of_orbax(tmp_path):
    write_layers(tmp_path / "old", 250)
    tree = ocp.PyTreeCheckpointer().restore(tmp_path / "old")
    assert 250 == sum(len(block) for block in tree["params"].values())
    first, second = (tree["params"][f"block_{i}"]["w_0"]["kernel"] for i in (0, 1))
    assert (16, 16) == first.shape
    assert 0.8 < np.std(first) < 1.2
    assert np.any(first != second)


@pytest.mark.matrix
def test_one_part_is_measured_alone(monkeypatch, tmp_path):
    words = ["--only", "memory", "--cases", "stack-64MiB", "--scale", "0.001", "--runs", "2", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["run", *words])
    run.main()
    ((name, part),) = json.loads((tmp_path / "figures.json").read_text())["parts"].items()
    assert ("memory", 2) == (name, part["runs"])
    ((row, second),) = ((row, row["figures"][1]) for row in part["figures"])
    assert ("stack-64MiB", 0.001) == (row["case"], row["gigabytes"])
    assert second["marks"]["work"] > 0
    assert "400 matrices" in (tmp_path / "README.md").read_text()
