"""A sample of every attack of `make torture`."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.torture.framework import Attack, Outcome, Trial, run_attack
from tests.torture.sources import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:os.fork\\(\\) was called:RuntimeWarning")
"""The harness forks its trials; in a process in which other tests have loaded JAX, JAX warns about that."""

SAMPLE = {
    "kills": 0.012, "oracle": 0.01, "flips": 0.02, "hostile": 0.1, "changes": 0.03, "faults": 0.05, "fuzz": 0.03,
    "surroundings": 0.14, "process": 0.02, "concurrency": 0.08, "size": 0.004,
}  # fmt: skip
"""The scale of each attack."""


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """The directory of prepared checkpoints, which the workers of pytest-xdist share."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "torture-sources"


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.sample(3)
def test_a_sample_of_the_attack_finds_nothing(name, prepared):
    options = ["--scale", str(SAMPLE[name]), "--minutes", "0.02", "--sources", str(prepared)]
    command = [sys.executable, "-m", "tests.torture", "--only", name, *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert 0 == run.returncode, run.stdout + run.stderr
    tried = int(re.search(r"^\| all \| (\d+)", run.stdout, re.MULTILINE)[1])
    assert tried > 0 or "skipped" in run.stdout, run.stdout


def _run(trial, tmp_path, sources=Path()):
    attack = Attack("own", "own", lambda rng, scale: iter([trial]))
    lines = []
    how = {"seed": 3, "scale": 1, "sources": sources, "folder": tmp_path, "tell": lines.append}
    return run_attack(attack, **how), "".join(lines)


def test_a_finding_is_printed_with_the_command_that_repeats_it(tmp_path):
    tally, printed = _run(Trial("what it does", lambda arena: "it broke"), tmp_path)
    assert (1, [Outcome.FOUND]) == (tally.tried, [result.outcome for result in tally.found])
    assert "it broke" in printed
    assert "python -m tests.torture --only own --seed 3 --scale 1 --trial 0  # what it does" in printed


@pytest.mark.parametrize(
    ("breach", "sentence"),
    [
        (lambda arena: (arena.out / "stray").mkdir(), "left behind beside DST: ['stray']"),
        (lambda arena: (arena.folder / "tmp" / "stray").touch(), "written to tmp: ['stray']"),
        (lambda arena: (arena.folder / "outside" / "canary").write_text("x"), "a file outside changed"),
        (lambda arena: os.kill(os.getpid(), 9), "the trial's process died"),
        (lambda arena: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_breach_is_found_although_the_trial_reports_nothing(tmp_path, breach, sentence):
    tally, printed = _run(Trial("breach", lambda arena: breach(arena) and None), tmp_path)
    assert 1 == len(tally.found)
    assert sentence in printed


def test_a_changed_source_is_found(tmp_path):
    (tmp_path / "sources" / "one").mkdir(parents=True)
    (tmp_path / "sources" / "one" / "file").write_bytes(b"old")

    def change(arena):
        (arena.source("one") / "file").write_bytes(b"new")

    _, printed = _run(Trial("change", change), tmp_path, tmp_path / "sources")
    assert "SRC changed: ['file']" in printed


def test_a_trial_that_hangs_is_ended_and_found(tmp_path):
    import time

    tally, printed = _run(Trial("sleep", lambda arena: time.sleep(60), timeout=0.2), tmp_path)
    assert 1 == len(tally.found)
    assert "no end within 0.2 s" in printed


def test_trials_that_run_at_the_end_of_the_time_are_skipped(tmp_path):
    import time

    attack = Attack("own", "own", lambda rng, scale: iter([Trial("sleep", lambda arena: time.sleep(60))]))
    how = {"seed": 3, "scale": 1, "sources": Path(), "folder": tmp_path}
    tally = run_attack(attack, **how, end=time.monotonic() + 0.1)
    assert (0, 1, "the time ended before its last trials did") == (tally.tried, tally.skipped, tally.reason)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["oracle", "flips", "kills", "concurrency", "changes", "faults", "surroundings", "hostile", "fuzz"]
)
def test_the_same_seed_gives_the_same_trials(name):
    from importlib import import_module

    attack = import_module(f"tests.torture.{name}").ATTACK
    one, same, other = ([t.arguments for t in attack.trials(random.Random(seed), 0.05)] for seed in (1, 1, 2))
    assert one == same
    assert one != other
