"""`--arg` gives values to the arguments of a rule file, in every command that takes one."""

from pathlib import Path

import pytest

RULES = """
migrate: 1
args: {where: layers, first: 0}
rules:
  - "params/Dense_{i}/** -> ${where}/{i+${first}}/**"
  - drop: params/old_head
"""


@pytest.fixture
def rules(run):
    Path("args.yaml").write_text(RULES)
    return run


def test_a_value_reaches_patterns_and_arithmetic(rules):
    result = rules("apply", "args.yaml", "old.msgpack", "new", "--arg", "where=blocks", "--arg", "first=1")
    assert 0 == result.exit_code, result.output
    assert "blocks/{1..3}" in result.stdout
    verified = ("verify", "new", "--source", "old.msgpack", "--rules", "args.yaml")
    assert 0 == rules(*verified, "--arg", "where=blocks", "--arg", "first=1").exit_code
    assert 0 != rules(*verified).exit_code


def test_a_plan_file_has_the_values(rules):
    made = rules("plan", "args.yaml", "old.msgpack", "-o", "p.plan.json", "--arg", "where=blocks")
    assert 0 == made.exit_code, made.output
    assert '"args": {"where": "blocks"}' in Path("p.plan.json").read_text()
    result = rules("apply", "p.plan.json", "old.msgpack", "new")
    assert 0 == result.exit_code, result.output
    refused = rules("apply", "p.plan.json", "old.msgpack", "other", "--arg", "where=x")
    assert (2, True) == (refused.exit_code, "give `--arg` to `migrate plan`" in refused.stderr)


def test_the_inverse_has_the_values(rules):
    result = rules("invert", "args.yaml", "old.msgpack", "--arg", "where=blocks")
    assert '- "blocks/{i}/** -> params/Dense_{i}/**"' in result.stdout


def test_check_and_diff_take_values(rules):
    assert 0 == rules("check", "args.yaml", "old.msgpack", "--arg", "where=blocks").exit_code
    how = ("diff", "old.msgpack", "--rules", "args.yaml", "--template", "tiny_model:make")
    assert [0, 1] == [rules(*how, *more).exit_code for more in ((), ("--arg", "where=blocks"))]


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [("were=x", 1, "`args.yaml` has no argument `were`"), ("where", 2, "`where` is not NAME=VALUE")],
)
def test_a_mistake_is_refused(rules, value, code, message):
    result = rules("check", "args.yaml", "old.msgpack", "--arg", value)
    assert (code, True) == (result.exit_code, message in result.output)
