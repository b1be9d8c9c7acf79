"""Every command refuses URLs that it does not support for each of its files and directories, before anything else."""

import re

import click
import pytest
from click.testing import CliRunner

from migrate.cli.main import COMMANDS, migrate
from migrate.cli.places import CHECKPOINT, FILE, PLACE

NOT_PLACES = {("explain", "code"), ("template", "template"), ("completion", "shell")}


def url_for(parameter):
    """A URL that is not supported there: buckets are read, and nothing is written to them."""
    return "https://host/x" if parameter.type is CHECKPOINT else "gs://bucket/x"


def parameters():
    """Every argument, and every option that names a file or a checkpoint, with the words that give it a URL."""
    for name in COMMANDS:
        command = migrate.get_command(None, name)
        arguments = [p for p in command.params if isinstance(p, click.Argument) and (name, p.name) not in NOT_PLACES]
        for given in arguments:
            url = url_for(given)
            yield name, given.name, [name, *(url if p is given else "absent" for p in arguments)]
        for option in command.params:
            is_file = "FILE" in str(option.metavar) and "M:F" not in option.metavar  # a template is a module first
            if isinstance(option, click.Option) and (option.type in (CHECKPOINT, FILE, PLACE) or is_file):
                words = [name, *["absent"] * len(arguments), option.opts[-1], url_for(option)]
                yield name, option.name, words


@pytest.mark.parametrize("words", [pytest.param(words, id=f"{name}-{given}") for name, given, words in parameters()])
def test_a_url_is_refused_and_nothing_is_written(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(migrate, words)
    assert 2 == result.exit_code
    assert re.search(r"error\[M417\]: `(gs|https)://\S+/x` is (not|neither) a local path", result.output), result.output
    assert [] == list(tmp_path.iterdir())
