"""Tests of `heads` and `history`."""

import json
from pathlib import Path

import pytest

STEP = "migrate: 1\nsource: {{model: tiny, version: {0}}}\ntarget: {{model: tiny, version: {1}}}\nrules:\n  - '{2}'\n"


@pytest.fixture
def steps(here):
    """`steps`: a chain of two rule files, and a file without a version."""
    Path("steps").mkdir()
    Path("steps/2.yaml").write_text(STEP.format(1, 2, "params/Dense_{i}/** -> dense/{i}/**"))
    Path("steps/3.yaml").write_text(STEP.format(2, 3, "dense/** -> layers/**"))
    Path("steps/part.yaml").write_text("migrate: 1\nrules: []\n")
    return "steps"


def test_the_versions_of_a_folder_are_drawn(run, steps, golden):
    result = run("heads", steps)

    assert 0 == result.exit_code
    golden("cli/heads.txt", result.stdout)


def test_two_heads_are_no_good_state(run, steps, golden):
    Path("steps/3b.yaml").write_text(STEP.format(2, "3b", "dense/** -> blocks/**"))
    result = run("heads", steps)

    assert 1 == result.exit_code
    golden("cli/heads_two.txt", result.stdout)


def test_a_circle_is_an_error(run, steps):
    Path("steps/back.yaml").write_text(STEP.format(3, 2, "layers/** -> dense/**"))
    result = run("heads", steps)

    assert 1 == result.exit_code
    assert "error[M604]: rule files in steps lead in a circle: tiny 2 → tiny 3 → tiny 2" in result.stderr


def test_heads_for_programs(run, steps):
    payload = json.loads(run("heads", steps, "--json").stdout)

    assert [{"model": "tiny", "version": "3"}] == payload["heads"]
    assert {"file": "steps/2.yaml", "from": "1", "to": "2"} == payload["steps"][0]
    assert ["1", "2", "3"] == [one["version"] for one in payload["versions"]]


def test_an_empty_folder_has_no_heads(run, here):
    Path("none").mkdir()
    result = run("heads", "none")

    assert 0 == result.exit_code
    assert "none has no rule file with a version" in result.stdout


def test_the_history_names_every_rule_file(run, steps):
    run("upgrade", steps, "old.msgpack", "new", "--from", "1")
    result = run("history", "new")

    assert 0 == result.exit_code
    assert "new: tiny 3, 2 migrations" == result.stdout.splitlines()[0]
    assert ["steps/2.yaml", "steps/3.yaml"] == [line.split()[1] for line in result.stdout.splitlines()[1:]]
    rows = json.loads(run("history", "new", "--json").stdout)["history"]
    assert ["steps/2.yaml", "steps/3.yaml"] == [row["rules"] for row in rows]


def test_a_checkpoint_without_a_record_has_no_history(run):
    result = run("history", "old.msgpack")

    assert 0 == result.exit_code
    assert "old.msgpack: no version, 0 migrations" == result.stdout.splitlines()[0]
    assert "It has no record" in result.stdout
