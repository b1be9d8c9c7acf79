"""Ctrl-C during `apply`, in a process of its own: exit codes, sentences, and the same command again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "JAX_PLATFORMS": "cpu"}

SCRIPT = """
import os, signal, sys, time
from migrate.cli import progress
from migrate.cli.main import main
from migrate.engine.outputs import orbax_store as staging
from migrate.engine.streaming import pipeline, stopping
from migrate.events import LeafDone

staging.BATCH_ARRAYS = pipeline.GROUP_PIECES = 1  # each array is durable before the next
staging._COMMITTERS = staging._MOST_COMMITTING = 1
take_note = progress.Progress.__call__
on_signal = stopping.Stopping._on_signal
times = int(sys.argv.pop(1))
staged, noticed = [], []


def notice(self, *arguments):
    noticed.append(arguments)
    on_signal(self, *arguments)


def press_ctrl_c(self, event):
    take_note(self, event)
    if isinstance(event, LeafDone) and event.phase == "stage":
        staged.append(event)
        for pressed in range(1, 1 + (times if len(staged) == 2 else 0)):
            os.kill(os.getpid(), signal.SIGINT)
            while len(noticed) < pressed:  # two signals that arrive together are one
                time.sleep(0.01)


progress.Progress.__call__ = press_ctrl_c
stopping.Stopping._on_signal = notice
main()
"""

APPLY = ("apply", "rules.yaml", "old.msgpack", "new", "--jobs", "1")


def interrupted(times, *arguments):
    """`apply` in a process that gets Ctrl-C so often after its second leaf."""
    command = [sys.executable, "-c", SCRIPT, str(times), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=300)


def left_behind(here):
    return [path.name for path in here.iterdir() if ".migrate-" in path.name]


def test_ctrl_c_stops_and_the_same_command_goes_on(untyped, run):
    stopped = interrupted(1, *APPLY, "--json")
    payload = json.loads(stopped.stdout)
    assert (3, False, 3) == (stopped.returncode, payload["ok"], payload["exit_code"])
    assert "Stopping when the leaves in flight are done." in stopped.stderr
    (found,) = payload["diagnostics"]
    done = int(found["message"].removeprefix("Stopped at ").partition("/")[0])
    assert 2 <= done < 6
    assert "M508" == found["code"]
    assert f"Stopped at {done}/6 leaves. new was not created. Run the same command to resume." == found["message"]
    assert not (untyped / "new").exists()
    assert 1 == len(left_behind(untyped))
    resumed = json.loads(run(*APPLY, "--json").stdout)
    assert (0, done) == (resumed["exit_code"], resumed["receipt"]["resumed"])
    assert f"had staged {done} of 6 arrays" in resumed["diagnostics"][0]["message"]
    assert [] == left_behind(untyped)


def test_a_second_ctrl_c_aborts_and_the_same_command_goes_on(untyped, run):
    aborted = interrupted(2, *APPLY)
    assert 130 == aborted.returncode
    assert "Aborted. Run the same command to resume." == aborted.stderr.splitlines()[-1]
    assert not (untyped / "new").exists()
    resumed = run(*APPLY)
    assert 0 == resumed.exit_code
    assert "note[M510]: resumed an earlier run" in resumed.stderr
    assert [] == left_behind(untyped)


@pytest.mark.parametrize("options", [("--compression", "none"), ("--compression", "zstd:3", "--link", "never")])
def test_compression_is_what_is_asked_for(run, here, options):
    assert 0 == run(*APPLY, *options, "--verify", "full").exit_code
    import tensorstore as ts

    spec = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{here}/new/"}}
    array = json.loads(ts.KvStore.open(spec).result().read("layers.0.kernel/.zarray").result().value)
    assert {"none": None, "zstd:3": {"id": "zstd", "level": 3}}[options[1]] == array["compressor"]


@pytest.fixture
def linked(run, here):
    """`migrated`: a checkpoint whose arrays can be linked."""
    assert 0 == run(*APPLY).exit_code
    (here / "new").rename(here / "migrated")
    return "migrated"


@pytest.mark.parametrize(
    ("options", "mode", "linked_arrays", "copied"),
    [
        ((), "relink", 6, 0),
        (("--link", "never"), "copy", 6, 6),
        (("--compact",), "copy", 6, 6),
        (("--compression", "zstd:1"), "stream", 0, 0),
    ],
)
def test_linking_is_the_users_choice(run, linked, options, mode, linked_arrays, copied):
    payload = json.loads(run("apply", "portable", linked, "again", *options, "--json").stdout)
    assert {mode} == {task["mode"] for task in payload["tasks"]}
    receipt = payload["receipt"]
    assert (linked_arrays, copied) == (receipt["linked"], receipt["copied"])
    assert "every array and number that was written is read back" in payload["receipt"]["verification_proves"]
