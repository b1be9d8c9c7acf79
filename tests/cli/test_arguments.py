"""Arguments in the wrong order are refused with the command in the right one, which works when pasted."""

import re
import shlex

import pytest


@pytest.fixture(autouse=True)
def spaced(here):
    (here / "old.msgpack").rename(here / "my old.msgpack")


def help_of(result):
    (command,) = re.findall("= help: `([^`]*)`", result.stderr)
    return shlex.split(command)[1:]


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (["apply", "my old.msgpack", "rules.yaml", "new"], ["apply", "rules.yaml", "my old.msgpack", "new"]),
        (["apply", "my old.msgpack", "new", "rules.yaml"], ["apply", "rules.yaml", "my old.msgpack", "new"]),
        (["apply", "new", "my old.msgpack", "rules.yaml"], ["apply", "rules.yaml", "my old.msgpack", "new"]),
        (["apply", "rules.yaml", "new", "my old.msgpack"], ["apply", "rules.yaml", "my old.msgpack", "new"]),
        (
            ["apply", "-n", "my old.msgpack", "rules.yaml", "new", "--jobs", "1"],
            ["apply", "-n", "rules.yaml", "my old.msgpack", "new", "--jobs", "1"],
        ),
        (["check", "my old.msgpack", "rules.yaml"], ["check", "rules.yaml", "my old.msgpack"]),
        (["invert", "my old.msgpack", "rules.yaml", "-v"], ["invert", "rules.yaml", "my old.msgpack", "-v"]),
    ],
)  # fmt: skip
def test_the_help_is_the_command_in_the_right_order(run, given, right):
    result = run(*given)
    assert 2 == result.exit_code
    assert "error[M412]" in result.stderr
    assert right == help_of(result)
    assert run(*right).exit_code in (0, 1), run(*right).output


def test_the_name_of_a_bundled_rule_file_is_one(run):
    assert ["apply", "portable", "my old.msgpack", "new"] == help_of(run("apply", "my old.msgpack", "portable", "new"))


def test_a_misspelled_source_is_not_swapped(run, here):
    (here / "new").mkdir()
    result = run("apply", "rules.yaml", "my odl.msgpack", "new")
    assert "did you mean `my old.msgpack`?" in result.stderr


@pytest.mark.parametrize(
    "command",
    [("inspect", "rules.yaml"), ("verify", "rules.yaml"), ("diff", "rules.yaml", "my old.msgpack"),
     ("suggest", "rules.yaml", "--template", "tiny_model:make")],
)  # fmt: skip
def test_a_rule_file_is_no_checkpoint(run, command):
    result = run(*command)
    assert (2, ["check", "rules.yaml"]) == (result.exit_code, help_of(result))
    assert "`rules.yaml` is a rule file, not a checkpoint" in result.stderr
