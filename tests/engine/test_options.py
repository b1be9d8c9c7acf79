"""One set of options: the Python functions, the command line and the engine have the same, with the same defaults."""

import dataclasses
import inspect
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import migrate
from migrate.cli.apply import command
from migrate.cli.main import migrate as main
from migrate.engine import run
from migrate.engine.options import DEFAULTS, ApplyOptions
from tests.engine.sources import save

FIELDS = {field.name: field.default for field in dataclasses.fields(ApplyOptions)}
CHANGED = {
    "overwrite": (["--overwrite"], True),
    "verify": (["--verify", "full"], "full"),
    "allow_code": (["--allow-code"], True),
    "max_ram": (["--max-ram", "64MiB"], 64 << 20),
    "jobs": (["--jobs", "1"], 1),
    "compression": (["--compression", "zstd:5"], "zstd:5"),
    "probe": (["--probe", "tests.engine.test_options:probe"], "tests.engine.test_options:probe"),
    "tolerance": (["--tolerance", "0.5"], 0.5),
    "rtol": (["--rtol", "0.5"], 0.5),
    "require_proof": (["--require-proof"], True),
    "max_shard_size": (["--max-shard-size", "1MB", "--layout", "huggingface"], 1_000_000),
    "files_from": (["--files-from", "original", "--layout", "huggingface"], Path("original")),
}
"""Arguments on the command line, and the value that each gives its option."""


def template():
    return {"a": 1.0}


def probe(old, model):
    return old["a"], model["a"]


def test_the_python_function_names_every_option_with_its_default_and_a_type():
    parameters = inspect.signature(migrate.apply).parameters
    named = {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert {*FIELDS, "resume", "listener", "stopped", "executor", "sources"} == named.keys()
    assert {name: named[name].default for name in FIELDS} == FIELDS
    types = {field.name: field.type for field in dataclasses.fields(ApplyOptions)}
    assert types == {name: named[name].annotation for name in FIELDS}


@pytest.mark.parametrize("name", FIELDS)
def test_the_documentation_describes_every_option(name):
    assert f"\n  {name}: " in inspect.getdoc(migrate.apply)
    assert f"\n  {name}: " in inspect.getdoc(ApplyOptions)


@pytest.fixture
def received(monkeypatch):
    """The options that reach the engine, which then does its work."""
    seen = []
    for name in ("apply", "resume"):
        real = getattr(run, name)

        def spy(plan, reader, destination, options, *, real=real, **rest):
            seen.append(options)
            return real(plan, reader, destination, options, **rest)

        monkeypatch.setattr(run, name, spy)
    return seen


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "original").mkdir()
    (tmp_path / "original/config.json").write_text("{}")
    return save(tmp_path / "old", {"a": 1.0})


def applied(source, target, *arguments):
    templated = ["--template", "tests.engine.test_options:template"]
    result = CliRunner().invoke(main, ["apply", "portable", str(source), str(target), *templated, *arguments])
    assert 0 == result.exit_code, result.output


def test_without_options_the_command_line_has_the_defaults(source, tmp_path, received):
    applied(source, tmp_path / "new")
    assert [DEFAULTS] == received


def test_the_command_line_has_every_option():
    assert FIELDS.keys() == CHANGED.keys()
    assert FIELDS.keys() <= {parameter.name for parameter in command.params}


@pytest.mark.parametrize("name", FIELDS)
def test_every_option_of_the_command_line_reaches_the_engine(name, source, tmp_path, received):
    arguments, value = CHANGED[name]
    applied(source, tmp_path / "new", *arguments)
    assert [ApplyOptions(**{name: value})] == received


@pytest.mark.parametrize("name", FIELDS)
def test_every_option_of_the_python_function_reaches_the_engine(name, source, tmp_path, received):
    with migrate.open_checkpoint(source) as checkpoint:
        layout = "huggingface" if "huggingface" in CHANGED[name][0] else None
        plan = migrate.plan(checkpoint, "portable", "tests.engine.test_options:template", layout=layout)
        options = {name: CHANGED[name][1]}
        migrate.apply(plan, checkpoint, tmp_path / "new", **options)
        with pytest.raises(migrate.UsageError, match="no unfinished run"):
            migrate.apply(plan, checkpoint, tmp_path / "new", resume="only", **options)
    assert [ApplyOptions(**options)] * 2 == received


def test_workers_are_jobs_or_else_the_cpus():
    assert 3 == ApplyOptions(jobs=3).workers
    assert os.cpu_count() == DEFAULTS.workers
