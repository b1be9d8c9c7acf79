"""Several processes load together: they plan the same, do not wait for each other, and all succeed or all fail."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import migrate
from migrate.codes import DamagedFile, InvalidTemplate
from migrate.engine.loading.agreement import agree, is_unreadable
from migrate.errors import CheckpointError, UsageError
from tests.engine.loading import training
from tests.matrix import values_to_run

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    source, rules = training.save(folder)
    with migrate.open_checkpoint(source) as checkpoint:
        migrate.apply(migrate.plan(checkpoint, rules, training.MODEL), checkpoint, folder / "copy")
    return folder


def run(work, *cases):
    """What the two processes print in these cases, and what they report as errors."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, "-m", "tests.engine.loading.processes"]
    options = {"cwd": ROOT, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "text": True}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [
        subprocess.Popen([*command, str(number), str(port), str(work), *cases], **pipes, **options) for number in (0, 1)
    ]
    try:
        outputs = [process.communicate(timeout=150) for process in started]
    finally:
        for process in started:
            process.kill()
    printed = [found for output, _ in outputs for found in re.findall(r'\{"process": .*', output)]
    rows = [json.JSONDecoder().raw_decode(row)[0] for row in printed]  # Gloo may continue a line
    return rows, [errors for _, errors in outputs]


@pytest.fixture(scope="module")
def found(request, work):
    """The rows that the two processes print, by case: they load in all cases that run, after failures as well."""
    cases = values_to_run(request, "case")
    for step in ("1", "2") if "resume" in cases else ():
        shutil.copytree(work / "copy", work / "root" / step)
    rows, errors = run(work, *cases)
    assert 2 * len(cases) == len(rows), errors[0][-2000:] + errors[1][-2000:]
    return {case: [row for row in rows if row["case"] == case] for case in cases}


@pytest.fixture
def rows(found, case):
    """The rows that the two processes print in a case."""
    return found[case]


@pytest.mark.parametrize("case", ["plans"])
def test_different_plans_are_refused_in_all_processes_before_an_array_is_read(rows):
    assert ["PlanError", "PlanError"] == [row["error"] for row in rows]
    assert rows[0]["message"] == rows[1]["message"]
    assert rows[0]["message"].startswith("the processes do not plan the same load: process 0: plan ")


@pytest.mark.parametrize("case", ["planning"])
def test_a_process_that_cannot_plan_makes_all_fail_with_its_message(rows):
    assert ["MigrateError", "RuleFileError"] == [row["error"] for row in rows]
    assert f"process 1 failed: {rows[1]['message']}" == rows[0]["message"]


@pytest.mark.parametrize("case", ["late"])
def test_each_process_reads_its_shards_and_none_waits_for_a_late_one_in_between(rows):
    assert [([], True), ([], True)] == [(row.get("wrong"), row.get("global")) for row in rows], rows
    assert all(row["shards"] >= 4 * 19 for row in rows)
    assert [False, True] == [row["other_has_read"] for row in rows]


@pytest.mark.matrix
@pytest.mark.parametrize("case", ["reading"])
def test_a_process_that_cannot_read_makes_all_fail_with_its_message_and_no_model_changes(rows):
    assert ["CheckpointError", "CheckpointError"] == [row["error"] for row in rows]
    assert ["process 1 failed: a chunk is damaged", "a chunk is damaged"] == [row["message"] for row in rows]
    assert [True, True] == [row["kept"] for row in rows]
    assert max(row["took"] for row in rows) < 60


@pytest.mark.matrix
@pytest.mark.parametrize("case", ["resume"])
def test_processes_resume_the_same_step_if_one_cannot_read_the_newest(rows):
    assert [(1, []), (1, [])] == [(row.get("step"), row.get("wrong")) for row in rows], rows
    skipped = [[text for text in row["warnings"] if text.startswith("M740")] for row in rows]
    assert [1, 1] == [len(texts) for texts in skipped]
    assert all("step 2 of" in texts[0] and "a chunk is damaged" in texts[0] for texts in skipped)


def test_a_process_that_is_killed_makes_the_other_fail_within_a_minute(work):
    rows, errors = run(work, "killed")
    if not rows:  # JAX may notice it before the collective does, and then ends the process itself
        assert "Terminating process because the JAX distributed service detected fatal errors" in errors[0]
        return
    (row,) = rows
    assert ("MigrateError", True) == (row["error"], row["took"] < 60)
    assert row["message"].startswith("another process has ended or cannot be reached: ")


def test_one_process_needs_no_agreement():
    assert 3 == agree(lambda: 3, lambda _: pytest.fail("nothing is compared"))


def test_an_unreadable_checkpoint_differs_from_a_template_that_fails():
    assert is_unreadable(CheckpointError(DamagedFile.at("x")))
    assert not is_unreadable(CheckpointError(InvalidTemplate.at("x")))
    assert not is_unreadable(UsageError(DamagedFile.at("x")))
