"""`migrate stage` and `migrate commit`: shares of a plan for schedulers, and `--processes` of `apply`.

Covers `commit`, `pool`, `planned` and, through what is printed, `migrate.report.of_share`.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest

REPOSITORY = Path(__file__).parents[2]
RULES = """\
migrate: 1
rules:
  - {from: "w/{i}", to: "v/{i}", ops: [{transpose: [1, 0]}]}
"""


@pytest.fixture
def old(here):
    """A checkpoint of four arrays that are streamed and one that is linked, and the rule file."""
    tree = {"w": {str(i): np.full((8 + i, 3), i, np.float32) for i in range(4)}, "kept": np.ones((500,), np.float32)}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(here / "old", tree)
    (here / "rules.yaml").write_text(RULES)
    return here / "old"


def words(result):
    return " ".join(result.stdout.split())


def test_shares_are_staged_and_committed(run, old):
    for number in range(2):
        result = run("stage", "rules.yaml", "old", "new", "--share", f"{number}/2")
        assert 0 == result.exit_code, result.stderr
        assert re.search(rf"Staged share {number}/2 of plan [0-9a-f]{{12}}: 2 arrays, 2\d\d B\.", words(result))
    result = run("commit", "rules.yaml", "old", "new")
    assert 0 == result.exit_code, result.stderr
    assert "4 leaves read back and compared by digest" in words(result)
    assert 0 == run("verify", "new", "--source", "old", "--rules", "rules.yaml").exit_code
    again = run("stage", "rules.yaml", "old", "new", "--share", "0/2")
    assert "Already done: new is the result of this plan." in words(again)
    assert "Already done" in words(run("commit", "rules.yaml", "old", "new"))


def test_missing_shares_are_named_with_a_command_that_stages_one(run, old, here):
    run("stage", "rules.yaml", "old", "new", "--share", "1/3")
    result = run("commit", "rules.yaml", "old", "new", "--compression", "none")
    assert 3 == result.exit_code
    result = run("commit", "rules.yaml", "old", "new", "-q")
    assert 3 == result.exit_code
    assert "error[M554]: 2 of 3 shares are not staged: 0/3, 2/3; nothing was published" in result.stderr
    command = re.search(r"help: `migrate (.*)`, then", result.stderr)[1].split()
    assert ["stage", "rules.yaml", "old", "new", "-q", "--share", "0/3"] == command
    assert 0 == run(*command).exit_code
    assert 0 == run("stage", "rules.yaml", "old", "new", "--share", "2/3").exit_code
    assert 0 == run("commit", "rules.yaml", "old", "new").exit_code
    assert ["new", "old", "rules.yaml"] == sorted(
        each for each in os.listdir(here) if each in ("new", "old", "rules.yaml")
    )


def test_json_has_the_numbers_of_the_share(run, old):
    result = run("stage", "rules.yaml", "old", "new", "--share", "0/1", "--json")
    found = json.loads(result.stdout)
    expected = {"command": "stage", "ok": True, "share": 0, "shares": 1, "arrays": 4, "resumed": 0}
    assert expected == {name: found[name] for name in expected}
    assert 4 == json.loads(run("stage", "rules.yaml", "old", "new", "--share", "0/1", "--json").stdout)["resumed"]


@pytest.mark.parametrize(
    ("share", "reason"), [("2/2", "the last of 2 is 1"), ("1", "not of the form"), ("-1/2", "not of the form")]
)
def test_a_share_that_does_not_exist_is_refused(run, old, share, reason):
    result = run("stage", "rules.yaml", "old", "new", f"--share={share}")
    assert 2 == result.exit_code
    assert reason in " ".join(result.stderr.split())


@pytest.mark.parametrize("command", [("stage", "--share", "0/1"), ("commit",)])
def test_the_steps_of_a_root_are_refused(run, old, command):
    result = run(command[0], "rules.yaml", "old", "new", *command[1:], "--step", "all")
    assert (2, True) == (result.exit_code, "choose one step with `--step N`" in result.stderr)


def test_processes_write_what_one_process_writes(run, old):
    found = {}
    for name, options in (("one", ()), ("two", ("--processes", "2"))):
        result = run("apply", "rules.yaml", "old", name, "--json", *options)
        assert 0 == result.exit_code, result.stderr
        found[name] = json.loads(result.stdout)["receipt"]["leaf_digests"]
    assert found["one"] == found["two"]


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", ["new.safetensors", "new.msgpack"])
def test_processes_write_a_single_file(run, old, name):
    found = {}
    for folder, options in (("one", ()), ("two", ("--processes", "2"))):
        result = run("apply", "rules.yaml", "old", f"{folder}/{name}", "--json", *options)
        assert 0 == result.exit_code, result.stderr
        found[folder] = json.loads(result.stdout)["receipt"]["leaf_digests"]
    assert found["one"] == found["two"]


def test_a_share_of_a_single_file_is_refused_with_the_command_that_writes_it(run, old, here):
    result = run("stage", "rules.yaml", "old", "new.safetensors", "--share", "0/2")
    assert 2 == result.exit_code
    assert "error[M551]: `new.safetensors` cannot be written in separate runs" in " ".join(result.stderr.split())
    assert "`migrate apply` with the same arguments and `--processes N`" in " ".join(result.stderr.split())
    assert 0 == run("apply", "rules.yaml", "old", "new.safetensors", "--processes", "2").exit_code


def test_unproved_leaves_are_refused_before_a_share_is_staged(run, here):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(here / "square", {"a": {"w": np.ones((8, 8)), "v": np.zeros((8, 8))}})
    (here / "square.yaml").write_text("migrate: 1\nrules: [{from: 'a/{x}', to: 'b/{x}', ops: [{transpose: [1, 0]}]}]\n")
    share = ("stage", "square.yaml", "square", "new", "--share", "0/1")
    result = run(*share, "--require-proof")
    assert 1 == result.exit_code
    assert "error[M309]: 2 leaves are unproved" in " ".join(result.stderr.split())
    assert [] == [each for each in os.listdir(here) if each.startswith(".new.migrate-")]
    assert 0 == run(*share).exit_code


def test_processes_and_a_scheduler_exclude_each_other(run, old):
    result = run("apply", "rules.yaml", "old", "new", "--processes", "2", "--on", "tcp://localhost:8786")
    assert (2, True) == (result.exit_code, "`--processes` and `--on` exclude each other" in result.stderr)


def test_a_scheduler_that_is_not_there_is_refused(run, old):
    result = run("apply", "rules.yaml", "old", "new", "--on", "tcp://127.0.0.1:9")
    assert 2 == result.exit_code
    assert "error[M552]: no Dask scheduler answers at `tcp://127.0.0.1:9`" in " ".join(result.stderr.split())


def scripts():
    """The shell scripts of the page about processes."""
    text = (REPOSITORY / "docs" / "processes.md").read_text()
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


@pytest.mark.matrix
def test_the_script_for_slurm_stages_every_share_of_an_array(old, here, run):
    """The scripts of the page run under bash, with the variables that SLURM sets and a stand-in for `sbatch`."""
    (stage,) = (script for script in scripts() if "#SBATCH" in script)
    (submit,) = (script for script in scripts() if "sbatch --parsable" in script)
    shares = re.search(r"--array=0-(\d+)", stage)[1]
    (here / "stage.sh").write_text(stage.replace(f"0-{shares}", "0-2"))
    bin_of = here / "bin"
    bin_of.mkdir()
    for name, text in {
        "migrate": f'exec "{sys.executable}" -m migrate "$@"',
        "sbatch": """
            if [ "$1" = --parsable ]; then
                last=$(sed -n 's/^#SBATCH --array=0-//p' "$2")
                for task in $(seq 0 "$last"); do
                    SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=$((last + 1)) bash "$2" >&2 || exit
                done
                echo 4711
            else
                [ "$1" = --dependency=afterok:4711 ] && bash -c "${2#--wrap=}"
            fi""",
    }.items():
        (bin_of / name).write_text(f"#!/bin/bash\n{text}\n")
        (bin_of / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{bin_of}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(["bash", "-e", "-c", submit], cwd=here, env=environment, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    assert 3 == done.stderr.count("Staged share")
    assert 0 == run("verify", "new", "--source", "old", "--rules", "rules.yaml").exit_code
