"""Every help ends with examples that can be typed: covers `options.examples`."""

import re
import shlex

import click
import pytest

from migrate.cli.arguments import is_rule_file
from migrate.cli.main import COMMANDS, migrate
from migrate.cli.options import SETTINGS

HELPS = ("", *COMMANDS)


def examples_of(name):
    """The commands that the help of a command ends with, as words."""
    command = migrate.get_command(None, name) if name else migrate
    context = click.Context(command, info_name="migrate", **SETTINGS)  # click keeps the names of the help option
    _, found, lines = command.get_help(context).rpartition("Examples:\n")
    assert found, f"`migrate {name} --help` has no examples"
    return [line.strip() for line in lines.splitlines()]


def words_of(example):
    """The arguments of an example, without a redirection, a comment and what a shell evaluates around it."""
    inner = re.fullmatch(r'eval "\$\((.*)\)"', re.sub(r"\s+#.*", "", example))
    words = shlex.split((inner[1] if inner else example).partition(" > ")[0])
    assert "migrate" == words[0]
    return words[1:]


@pytest.mark.parametrize("name", HELPS)
def test_every_help_ends_with_one_to_three_examples_in_one_line_each(name):
    examples = examples_of(name)
    assert 1 <= len(examples) <= 3
    assert all(not name or name == words_of(example)[0] for example in examples)
    assert all(len(example) <= 96 for example in examples)


@pytest.mark.parametrize("name", HELPS)
def test_every_example_parses(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for example in examples_of(name):
        command, *arguments = words_of(example)
        context = migrate.get_command(None, command).make_context(command, list(arguments))
        assert not context.args


def test_rules_of_examples_are_rule_files_or_bundled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [words_of(example)[1] for example in examples_of("apply")]
    assert {"rules.yaml", "linen/to-nnx"} == set(given)
    assert all(map(is_rule_file, given))


def test_the_test_of_examples_can_fail():
    with pytest.raises(click.UsageError, match="No such option"):
        migrate.get_command(None, "apply").make_context("apply", words_of("migrate apply a b c --dryrun")[1:])
