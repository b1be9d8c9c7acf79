import json

import pytest


@pytest.fixture
def planned(run):
    assert 0 == run("plan", "rules.yaml", "old.msgpack", "-o", "plan.json").exit_code
    return "plan.json"


def test_a_plan_file_is_drawn_as_a_plan(run, planned, golden):
    result = run("show", planned)
    assert (0, "") == (result.exit_code, result.stderr)
    golden("cli/show.txt", result.stdout)


def test_it_is_drawn_without_source_rules_and_model(run, here, planned):
    drawn = run("show", planned).stdout
    for name in ("old.msgpack", "rules.yaml", "tiny_model.py"):
        (here / name).unlink()
    assert drawn == run("show", planned).stdout


def test_for_programs_it_has_what_is_decided_and_nothing_else(run, planned):
    shown = json.loads(run("show", planned, "--json").stdout)
    applied = json.loads(run("apply", "rules.yaml", "old.msgpack", "new", "-n", "--json").stdout)
    assert [{**task, "mode": None} for task in applied["tasks"]] == shown["tasks"]
    for name in ("dropped", "created", "proof", "source_structure_hash", "target_structure_hash"):
        assert applied[name] == shown[name]
    assert not {"digest", "bytes_read", "bytes_written", "peak_host_bytes", "items"} & shown.keys()
    assert {"file": "rules.yaml", "count": 2} == {name: shown["rules"][name] for name in ("file", "count")}


def test_it_is_drawn_as_html_and_for_github(run, planned):
    assert "<html" in run("show", planned, "--format", "html").stdout
    assert 0 == run("show", planned, "--format", "github").exit_code


def test_a_file_that_is_no_plan_file_is_refused(run):
    result = run("show", "rules.yaml")
    assert 1 == result.exit_code
    assert "error[M320]: `rules.yaml` is a rule file, not a plan file" in result.stderr
    assert "`migrate plan rules.yaml SRC -o plan.json` writes its plan" in result.stderr


@pytest.mark.parametrize("command", [("show", "missing.json"), ("apply", "missing.json", "old.msgpack", "new")])
def test_a_plan_file_that_does_not_exist_is_named_with_the_command_that_writes_it(run, command):
    result = run(*command)
    assert 1 == result.exit_code
    assert "error[M004]: the plan file `missing.json` does not exist" in result.stderr
    assert "`migrate plan RULES SRC -o missing.json` writes it" in result.stderr
