"""`--step all`: a whole `CheckpointManager` root, step by step, into another root that Orbax reads."""

import json
import shutil
import subprocess
import sys

import jax.numpy as jnp
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner

from migrate.cli.main import migrate


def test_every_step_of_a_root_becomes_a_step_of_the_new_root(tmp_path):
    with ocp.CheckpointManager(tmp_path / "old") as manager:
        for step in (2, 10):
            manager.save(step, args=ocp.args.StandardSave({"params": {"w": jnp.full(3, float(step))}}))
    (tmp_path / "rules.yaml").write_text('migrate: 1\nrules: ["params/** -> model/**"]\n')
    places = [str(tmp_path / name) for name in ("rules.yaml", "old", "new")]
    result = CliRunner().invoke(migrate, ["apply", *places, "--step", "all"])
    assert 0 == result.exit_code, result.output
    with ocp.CheckpointManager(tmp_path / "new") as manager:
        assert [2, 10] == sorted(manager.all_steps())
        assert [10.0, 2.0] == [float(manager.restore(step)["model"]["w"][0]) for step in (10, 2)]
    verified = CliRunner().invoke(
        migrate, ["verify", str(tmp_path / "new" / "10"), "--source", places[1], "--step", "10", "--rules", places[0]]
    )
    assert 0 == verified.exit_code, verified.output


KILLED = """
import os, signal, sys
from pathlib import Path
from migrate.cli.main import main
from migrate.engine import run
from migrate.engine.workspace import directory

step, moment = sys.argv.pop(1), sys.argv.pop(1)
module, name = {"before": (run, "publish"), "after": (directory, "_discard")}[moment]
original = getattr(module, name)


def killing(work, *args, **kwargs):
    if work.path.name.startswith(f".{step}.migrate-"):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(work, *args, **kwargs)


setattr(module, name, killing)
main()
"""
"""`migrate` in a process that is killed before or after it publishes a step."""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The current directory: `old` with three steps, and a rule file."""
    monkeypatch.chdir(tmp_path)
    with ocp.CheckpointManager(tmp_path / "old") as manager:
        for step in (1, 2, 3):
            manager.save(step, args=ocp.args.StandardSave({"params": {"w": jnp.full(3, float(step))}}))
    (tmp_path / "rules.yaml").write_text('migrate: 1\nrules: ["params/** -> model/**"]\n')
    return tmp_path


EVERY_STEP = ("apply", "rules.yaml", "old", "new", "--step", "all")


def run(*arguments):
    return CliRunner().invoke(migrate, [*EVERY_STEP, *arguments])


@pytest.mark.sample(5)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("step", "before"), [("1", 0), ("2", 1), ("3", 2)])
def test_the_same_command_skips_the_steps_that_are_done_and_completes_the_rest(root, moment, step, before):
    subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, step, moment, *EVERY_STEP], check=False)
    done = before + (moment == "after")
    inodes = {path.name: path.stat().st_ino for path in (root / "new").glob("[0-9]")}
    assert done == len(inodes)
    payload = json.loads(run("--json").stdout)
    assert (0, done) == (payload["exit_code"], payload["already_done"])
    expected = [(number, number <= done) for number in (1, 2, 3)]
    assert expected == [(each["step"], each["already_done"]) for each in payload["steps"]]
    assert ["1", "2", "3"] == sorted(path.name for path in (root / "new").iterdir())
    assert inodes == {name: (root / "new" / name).stat().st_ino for name in inodes}


def test_skipped_steps_are_counted_in_a_dry_run_and_in_a_run(root):
    assert 0 == run().exit_code
    shutil.rmtree(root / "new" / "2")
    for arguments in (["--dry-run"], []):
        result = run(*arguments)
        assert 0 == result.exit_code, result.output
        assert "2 of 3 steps already done.\n" in result.stdout
    assert 3 == len(list((root / "new").iterdir()))
    assert "3 of 3 steps already done.\n" in run().stdout


def test_a_step_that_is_something_else_is_refused_beside_the_steps_that_are_done(root):
    assert 0 == run().exit_code
    shutil.rmtree(root / "new" / "2")
    (root / "new" / "2").mkdir()
    payload = json.loads(run("--json").stdout)
    assert [(1, 0), (2, 1), (3, 0)] == [(each["step"], each["exit_code"]) for each in payload["steps"]]
    assert ["M501"] == [found["code"] for found in payload["diagnostics"]]
    assert (1, False) == (payload["exit_code"], payload["ok"])


def test_overwrite_writes_every_step_again(root):
    assert 0 == run().exit_code
    payload = json.loads(run("--json", "--overwrite").stdout)
    assert [False] * 3 == [each["already_done"] for each in payload["steps"]]
