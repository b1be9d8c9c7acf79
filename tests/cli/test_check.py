import json


def test_a_rule_file_without_mistakes_is_fine(run):
    result = run("check", "rules.yaml")
    assert (0, "rules.yaml is fine: 2 rules.\n", "") == (result.exit_code, result.stdout, result.stderr)


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
