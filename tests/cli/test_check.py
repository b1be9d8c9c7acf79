import json

import pytest

from migrate.rules.files import bundled_names


def test_a_rule_file_without_mistakes_is_valid(run):
    result = run("check", "rules.yaml")
    assert (0, "rules.yaml is valid: 2 rules.\n", "") == (result.exit_code, result.stdout, result.stderr)


def test_every_mistake_is_shown_at_once_and_is_the_answer(run, golden):
    result = run("check", "broken.yaml")
    assert (1, "") == (result.exit_code, result.stderr)
    golden("cli/check_broken.txt", result.stdout)


def test_mistakes_for_programs(run):
    payload = json.loads(run("check", "broken.yaml", "--json").stdout)
    assert (False, 1) == (payload["ok"], payload["exit_code"])
    assert {"M101", "M103"} <= {d["code"] for d in payload["diagnostics"]}


def test_mistakes_for_a_workflow_are_annotations(run):
    assert "::error file=broken.yaml,line=6," in run("check", "broken.yaml", "--format", "github").stdout


def test_with_a_source_the_plan_is_checked_too(run, here):
    assert 0 == run("check", "rules.yaml", "old.msgpack").exit_code
    (here / "rules.yaml").write_text("migrate: 1\nrules:\n  - drop: params/old_haed\n")
    result = run("check", "rules.yaml", "old.msgpack")
    assert 1 == result.exit_code
    assert "error[M201]" in result.stdout
    assert " --> rules.yaml:3:" in result.stdout


def test_a_template_without_a_source_is_a_usage_error(run):
    assert 2 == run("check", "rules.yaml", "--template", "tiny_model:make").exit_code


def test_a_rule_file_that_is_not_there(run):
    result = run("check", "rulse.yaml")
    assert 1 == result.exit_code
    assert "M004" in result.stdout


def test_a_mistake_in_an_included_file_is_shown_in_that_file(run, here, golden):
    (here / "parts").mkdir()
    (here / "parts/head.yaml").write_text("migrate: 1\nrules:\n  - params/head->head\n")
    (here / "main.yaml").write_text("migrate: 1\ninclude: parts/head.yaml\nrules: []\n")
    golden("cli/check_include.txt", run("check", "main.yaml").stdout)


def test_a_bundled_file_that_does_not_fit_is_shown_with_the_line_that_does_not(run, here, golden):
    (here / "main.yaml").write_text(
        "migrate: 1\ninclude: {file: linen/lstm-to-nnx, under: params/rnn, to: rnn}\nrules: []\n"
    )
    golden("cli/check_bundled.txt", run("check", "main.yaml", "old.msgpack").stdout)


@pytest.mark.parametrize("command", ["apply", "check"])
def test_the_bundled_files_are_listed_below_the_help_and_no_name_is_broken(run, command):
    listed = run(command, "--help").stdout.partition("bundled rule file:")[2].partition("Examples:")[0]
    assert bundled_names() == [name.strip() for name in listed.replace("\n", ",").split(",") if name.strip(" ,")]


def test_a_rule_file_that_does_not_exist_is_named_with_the_command_that_drafts_it(run):
    result = run("check", "absent_here.yaml")
    assert 1 == result.exit_code
    assert "error[M004]: the rule file `absent_here.yaml` does not exist" in result.output
    assert "`migrate suggest SRC --template M:F -o absent_here.yaml` drafts it" in result.output
