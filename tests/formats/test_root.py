"""The entries of a root: names, metrics, unfinished saves."""

import json
import logging
import shutil

import numpy as np
import orbax.checkpoint as ocp
import pytest
from orbax.checkpoint import v1

from migrate.errors import CheckpointError
from migrate.formats.root import read_root

TREE = {"w": np.arange(3.0)}


@pytest.fixture
def saved(tmp_path):
    """A root of a manager with a prefix and metrics: steps 1 and 20, and one without metrics."""
    options = ocp.CheckpointManagerOptions(best_fn=lambda m: m["loss"], step_prefix="s", step_format_fixed_length=4)
    with ocp.CheckpointManager(tmp_path / "old", options=options) as manager:
        for step, metrics in ((1, {"loss": 0.5}), (20, {"loss": 0.25}), (30, None)):
            manager.save(step, args=ocp.args.StandardSave(TREE), metrics=metrics)
    return tmp_path / "old"


def test_steps_keep_the_names_that_orbax_gave_them(saved):
    assert [(1, "s_0001"), (20, "s_0020"), (30, "s_0030")] == [(s.number, s.name) for s in read_root(saved).steps]


def test_names_that_orbax_gives_to_no_step_become_numbers(saved):
    (saved / "s_0001").rename(saved / "step-1")
    assert "1" == read_root(saved).steps[0].name


def test_metrics_are_read_on_request(saved):
    assert [None] * 3 == [step.metrics for step in read_root(saved).steps]
    assert [{"loss": 0.5}, {"loss": 0.25}, None] == [step.metrics for step in read_root(saved, metrics=True).steps]


def test_metrics_of_the_v1_api_are_read(tmp_path):
    with v1.training.Checkpointer(tmp_path / "old") as checkpointer:
        checkpointer.save(1, TREE, metrics={"loss": 0.5})
    assert [{"loss": 0.5}] == [step.metrics for step in read_root(tmp_path / "old", metrics=True).steps]


@pytest.mark.parametrize(("text", "is_damaged"), [("{", True), ("", True), ("[" * 9999, True), ("[1]", False)])
def test_metrics_that_cannot_be_read_are_problems_and_others_are_none(saved, text, is_damaged):
    (saved / "s_0001" / "metrics" / "metrics").write_text(text)
    step = read_root(saved, metrics=True).steps[0]
    assert (None, is_damaged) == (step.metrics, bool(step.problems))


def test_metrics_that_lead_out_of_the_root_are_not_read(saved, tmp_path):
    (tmp_path / "secret").write_text(json.dumps({"loss": 9}))
    file = saved / "s_0001" / "metrics" / "metrics"
    file.unlink()
    file.symlink_to(tmp_path / "secret")
    (problem,) = read_root(saved, metrics=True).steps[0].problems
    assert "outside the checkpoint" in problem.message
    assert {"loss": 9} == read_root(saved, metrics=True, follow_links=True).steps[0].metrics


def test_unfinished_saves_are_named(saved):
    (saved / "s_0040.orbax-checkpoint-tmp").mkdir()
    read = read_root(saved)
    assert ("s_0040.orbax-checkpoint-tmp",) == read.unfinished
    with pytest.raises(CheckpointError, match=r"step 40 of .* was never finished"):
        read.step(40)


def test_two_steps_of_one_number_are_refused(saved):
    shutil.copytree(saved / "s_0001", saved / "1")
    with pytest.raises(CheckpointError, match="2 checkpoints of step 1"):
        read_root(saved)


def test_a_directory_without_steps_is_refused(saved):
    logging.getLogger("absl").setLevel(logging.ERROR)
    with pytest.raises(CheckpointError, match="has no steps"):
        read_root(saved / "s_0001")
