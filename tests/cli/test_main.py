import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from migrate.cli.main import COMMANDS, migrate, requested_format
from migrate.codes import DestinationExists
from migrate.errors import ExitCode, RefusedError, StoppedError
from migrate.version import __version__

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
HEAVY = {"numpy", "jax", "flax", "tensorstore", "orbax", "etils", "rich", "migrate.planning.model"}


def modules_after(*arguments):
    """The modules that the command has loaded when it exits, and the packages at the top that they are in."""
    code = (
        "import sys, json, atexit\n"
        "atexit.register(lambda: print(json.dumps([*sys.modules]), file=sys.stderr))\n"
        f"sys.argv = ['migrate', *{list(arguments)!r}]\n"
        "from migrate.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    loaded = json.loads(done.stderr.splitlines()[-1])
    return {name.partition(".")[0] for name in loaded} | set(loaded)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("explain", "M201"), ("schema",), ("apply", "-h")])
def test_small_commands_import_nothing_heavy(arguments):
    assert set() == modules_after(*arguments) & HEAVY


def test_the_import_test_can_fail(here):
    assert "numpy" in modules_after("verify", "old.msgpack") & HEAVY


def test_inspect_of_a_msgpack_file_never_imports_jax(here):
    loaded = modules_after("inspect", "old.msgpack")
    assert "migrate" in loaded
    assert set() == loaded & {"jax", "flax", "orbax"}


def test_help_lists_every_command(run, golden):
    result = run("-h")
    assert 0 == result.exit_code
    assert all(f"  {name} " in result.stdout for name in COMMANDS)
    golden("cli/help.txt", result.stdout)


@pytest.mark.parametrize("name", COMMANDS)
def test_choices_are_shown_as_they_are_typed(run, name):
    usage = run(name, "-h").stdout
    assert not {"LATEST", "NONE", "RANGE"} & set(re.findall(r"[A-Z]+", usage))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_short_help_option(run, name):
    assert run(name, "-h").stdout == run(name, "--help").stdout
    assert 0 == run(name, "-h").exit_code


def test_the_version_names_what_checkpoints_depend_on(run):
    lines = run("--version").stdout.splitlines()
    assert f"migrate {__version__}" == lines[0]
    assert ["Python", "jax", "flax", "orbax-checkpoint"] == [line.split()[0] for line in lines[1:]]


def test_a_wrong_command_is_a_usage_error(run):
    result = run("aply")
    assert ExitCode.FAILED == result.exit_code
    assert "" == result.stdout
    assert "No such command 'aply'" in result.stderr


def test_in_json_mode_usage_errors_are_json(run):
    result = run("inspect", "--json")
    payload = json.loads(result.stdout)
    assert ("1.0", "inspect", False, 2) == tuple(payload[k] for k in ("format_version", "command", "ok", "exit_code"))
    assert ("M412", "`migrate inspect -h`") == tuple(payload["diagnostics"][0][key] for key in ("code", "help"))
    assert "" == result.stderr


def test_the_help_command_of_a_usage_error_without_a_command_can_be_pasted(run):
    assert "`migrate -h`" == json.loads(run("aply", "--json").stdout)["diagnostics"][0]["help"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["diff", "a", "--json"], "json"),
        (["diff", "--format", "github", "a"], "github"),
        (["diff", "--format=html"], "html"),
        (["diff", "--format", "text"], "text"),
        (["diff", "--", "--json"], None),
        (["diff", "--format", "nonsense"], None),
        (["diff", "--format"], None),
    ],
)
def test_the_wanted_form_is_known_before_the_arguments_are_understood(arguments, expected):
    assert expected == requested_format(arguments)


@pytest.fixture
def failing(monkeypatch):
    """Makes `explain` raise what a test wants."""

    def arrange(error):
        def command():
            raise error

        monkeypatch.setattr(
            "migrate.cli.explain.command", click.command("explain")(click.pass_obj(lambda _: command()))
        )
        return CliRunner().invoke(migrate, ["explain"])

    return arrange


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedError(DestinationExists.at("DST exists")), ExitCode.NO),
        (StoppedError(DestinationExists.at("stopped")), ExitCode.STOPPED),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (ValueError("oops"), ExitCode.FAILED),
    ],
)
def test_exceptions_become_exit_codes(failing, error, code):
    assert code == failing(error).exit_code


def test_a_bug_asks_for_a_report_and_shows_no_traceback(failing):
    result = failing(ValueError("oops"))
    assert "error[M901]: this is a bug in migrate: ValueError at test_main.py:" in result.stderr
    assert "oops" in result.stderr
    assert "Traceback" not in result.stderr
    assert "" == result.stdout


def test_a_bug_shows_its_traceback_when_asked(failing, monkeypatch):
    monkeypatch.setenv("MIGRATE_DEBUG", "1")
    assert "Traceback" in failing(ValueError("oops")).stderr


@pytest.mark.parametrize("arguments", [("explain",), ("inspect", "nowhere", "--json"), ("inspect", "--json")])
def test_a_closed_pipe_prints_no_error_and_is_no_answer(here, arguments):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "migrate", *arguments]
    try:
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False, env=ENVIRONMENT)
    finally:
        os.close(write)
    assert (ExitCode.FAILED, "") == (done.returncode, done.stderr)


def _shell(here, redirections):
    command = f"{sys.executable} -m migrate inspect old.msgpack {redirections}"
    return subprocess.run(command, shell=True, cwd=here, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_under_stdout_is_one_sentence(here):
    run = _shell(here, "> /dev/full")
    assert (2, "Error: the output cannot be written: No space left on device\n") == (run.returncode, run.stderr)
    run = _shell(here, "> /dev/full 2>&1")
    assert 2 == run.returncode


def test_closed_streams_change_nothing_but_that_nothing_is_printed(here):
    for redirections in (">&-", ">&- 2>&-"):
        run = _shell(here, redirections)
        assert (0, "", "") == (run.returncode, run.stdout, run.stderr)
