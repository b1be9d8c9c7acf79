"""Checkpoints of many small leaves: memory and written bytes beside the budget, for each leaf."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.benchmarks.layers import write_layers
from tests.benchmarks.rule_texts import RENAME, TURN_LAYERS

FEW, MANY = 5_000, 10_000
"""Numbers of leaves; the budget holds about 8,000 at a time."""
LEAF_KB = {RENAME: 10, TURN_LAYERS: 7}
"""The most memory of a leaf beside the budget, in kB; for a rename, TensorStore decodes the index of the source."""

MEASURED = """
import json, re, sys
from pathlib import Path

import migrate.cli.main
import migrate.engine.run


def figures():
    status, io = (Path(f"/proc/self/{name}").read_text() for name in ("status", "io"))
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) * 1024, int(re.search(r"wchar: (\\d+)", io)[1])


before = figures()
try:
    migrate.cli.main.migrate.main(sys.argv[2:], prog_name="migrate")
finally:
    Path(sys.argv[1]).write_text(json.dumps([now - then for now, then in zip(figures(), before)]))
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="measures with the files of Linux")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Returns a function that returns the checkpoint with a number of leaves."""
    folder = tmp_path_factory.mktemp("many")

    @cache
    def written(leaves):
        write_layers(folder / str(leaves), leaves)
        return folder / str(leaves)

    return written


@pytest.fixture(scope="module", params=[TURN_LAYERS, RENAME], ids=["transpose", "rename"])
def rules(request):
    return request.param


@pytest.fixture(scope="module")
def run(rules, source, tmp_path_factory):
    """Returns a function that returns the peak memory and the written bytes of a run, beyond imports."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "rules.yaml").write_text(rules)
    return cache(lambda leaves: measured(folder, source(leaves)))


def measured(folder, source):
    words = [
        "apply",
        folder / "rules.yaml",
        source,
        folder / source.name,
        "--quiet",
        "--max-ram",
        "64MiB",
    ]
    command = [sys.executable, "-c", MEASURED, folder / "figures.json", *words]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    subprocess.run(list(map(str, command)), check=True, capture_output=True, env=environment)
    return json.loads((folder / "figures.json").read_text())


@pytest.mark.sample(2)
def test_a_leaf_takes_little_memory_beside_the_budget(rules, run):
    (few, _), (many, _) = run(FEW), run(MANY)
    assert (many - few) / (MANY - FEW) <= LEAF_KB[rules] * 1e3


@pytest.mark.sample(2)
def test_a_run_with_a_small_budget_writes_little_more_than_the_checkpoint(run, source):
    stored = sum(file.stat().st_size for file in source(MANY).rglob("*") if file.is_file())
    assert run(MANY)[1] <= 3 * stored
