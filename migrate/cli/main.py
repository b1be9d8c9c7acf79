"""The command `migrate`: runs a subcommand, and turns exceptions into exit codes and messages.

A subcommand is imported only when it is used, so that help and small commands start immediately.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from shlex import join
from typing import Any

import click

from migrate.cli.console import Console, Format
from migrate.cli.defaults import CommandDefaults, defaults_of, nearest_file, read_defaults
from migrate.cli.options import HELP, SETTINGS, examples, text_of
from migrate.cli.shells import VARIABLE, answer
from migrate.codes import InternalError, InvalidUsage
from migrate.engine.streaming.memory import out_of_memory
from migrate.errors import Diagnostic, ExitCode, MigrateError, listed
from migrate.garbage import collect_rarely
from migrate.platforms import unsupported
from migrate.printable import printable
from migrate.report.quoting import quote
from migrate.report.view import Report, findings
from migrate.version import __version__

COMMANDS = (
    "inspect",
    "diff",
    "init",
    "suggest",
    "check",
    "plan",
    "show",
    "apply",
    "stage",
    "commit",
    "upgrade",
    "heads",
    "history",
    "new",
    "squash",
    "verify",
    "stamp",
    "expand",
    "contract",
    "tune",
    "invert",
    "template",
    "explain",
    "schema",
    "completion",
)
"""The subcommands in the order of a migration; each is a module of this package."""

WITHOUT_DEFAULTS = ("explain", "schema", "completion")
"""The subcommands that answer whatever `pyproject.toml` contains; they explain mistakes in it."""

ISSUES = "https://github.com/migrate-jax/migrate/issues"


class Commands(click.Group):
    """The group of all subcommands; the only place where exceptions become exit codes."""

    _defaults = CommandDefaults()
    """The defaults of the subcommand that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names, in the order of use."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports and returns the subcommand of this name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"migrate.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Returns the subcommand with its name and arguments, and lets click use the defaults of `pyproject.toml`.

        Raises:
          UsageError: the defaults have mistakes.
        """
        name, command, rest = super().resolve_command(ctx, args)
        asks_for_help = any(word in HELP for word in rest)
        ignored = ctx.resilient_parsing or asks_for_help or ctx.params.get("isolated")
        if name is not None and command is not None and name not in WITHOUT_DEFAULTS and not ignored:
            file = read_defaults()
            if file is not None:
                self._defaults = defaults_of(file, name, command, COMMANDS)
                ctx.default_map = {name: self._defaults.values}
        return name, command, rest

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Runs the command and exits."""
        collect_rarely()
        arguments = list(sys.argv[1:] if args is None else args)
        _replace_closed_streams()
        extra["standalone_mode"] = False
        try:
            code = self._run(arguments, *rest, **extra)
        except OSError:  # stdout or stderr: its reader has gone, or its disk is full
            _discard_output()
            code = ExitCode.FAILED
        sys.exit(int(code))

    def _run(self, arguments: list[str], *rest: Any, **extra: Any) -> int:
        self._defaults = CommandDefaults()
        try:
            result = super().main(arguments, *rest, obj=tuple(arguments), **extra)
        except click.Abort:
            click.echo("\nAborted.", err=True)
            return ExitCode.INTERRUPTED
        except click.ClickException as error:
            return self._misused(error, arguments)
        except MigrateError as error:
            return self._fail([*error.diagnostics, *self._note(error, arguments)], error.exit_code, arguments)
        except MemoryError as error:
            return self._fail(out_of_memory("a leaf", str(error), None).diagnostics, ExitCode.FAILED, arguments)
        except SystemExit:  # click exits with 1 if the reader of stdout has gone, but 1 would mean "no"
            return ExitCode.FAILED
        except BrokenPipeError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and _is_of_output(error):
                click.echo(f"Error: the output cannot be written: {error.strerror}", err=True)
                raise
            if _has_no_directory():
                return self._fail([_no_directory()], ExitCode.FAILED, arguments)
            return self._fail([_bug(error)], ExitCode.FAILED, arguments)
        return result if isinstance(result, int) else ExitCode.OK

    def _misused(self, error: click.ClickException, arguments: Sequence[str]) -> ExitCode:
        """Reports wrong usage with click's own message, which names the option and the help option."""
        if self._format(arguments) == "text":
            _show_usage(error)
            return ExitCode.FAILED
        help_command = " ".join(filter(None, ("migrate", _command_name(arguments), "-h")))
        found = InvalidUsage.at(error.format_message(), help=f"`{help_command}`")
        return self._fail([found], ExitCode.FAILED, arguments)

    def _fail(self, diagnostics: Sequence[Diagnostic], code: ExitCode, arguments: Sequence[str]) -> ExitCode:
        """Reports why the command failed, in the requested format."""
        verbose = "-v" in arguments or "--verbose" in arguments or bool(self._defaults.values.get("verbose"))
        console = Console(self._format(arguments), self._color(arguments), verbose=verbose)
        report = Report(_command_name(arguments), code, findings=findings(diagnostics, text_of))
        console.text(report)
        console.finish([report])
        return code

    def _note(self, error: MigrateError, arguments: Sequence[str]) -> list[Diagnostic]:
        """Returns a note on the defaults that wrong usage may come from."""
        if not self._defaults.keys or all(found.code != InvalidUsage.number for found in error.diagnostics):
            return []
        message = f"{self._defaults.file} has defaults for this command: {listed(self._defaults.keys, 5)}"
        command = join(["migrate", "--isolated", *arguments])
        return [InvalidUsage.at(message, severity="note", help=f"`{command}` ignores them")]

    def _format(self, arguments: Sequence[str]) -> Format:
        return requested_format(arguments) or self._defaults.values.get("format", "text")

    def _color(self, arguments: Sequence[str]) -> Any:
        return _requested_color(arguments) or self._defaults.values.get("color", "auto")


def _replace_closed_streams() -> None:
    """Lets what a caller closed (`>&-`) lead nowhere: Python has no stream for it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (used to the end)


def _is_of_output(error: OSError) -> bool:
    """Whether click could not print."""
    frames = traceback.extract_tb(error.__traceback__)
    return error.filename is None and bool(frames) and frames[-1].filename == click.utils.__file__


def _discard_output() -> None:
    """Discards what stdout and stderr cannot take; Python would report the error again at exit, when it flushes."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _show_usage(error: click.ClickException) -> None:
    """Prints what click prints, with the arguments that it repeats quoted."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        click.echo(context.get_usage(), err=True)
        click.echo(f"Try '{context.command_path} {max(context.help_option_names, key=len)}' for help.\n", err=True)
    click.echo(f"Error: {quote(error.format_message())}", err=True)


def _command_name(arguments: Sequence[str]) -> str:
    return next((word for word in arguments if word in COMMANDS), "")


def requested_format(arguments: Sequence[str]) -> Format | None:
    """Returns the requested output format, even if the arguments cannot be parsed; None if none is requested."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--json" in options:
        return "json"
    for name, value in zip(options, [*options[1:], ""], strict=True):
        chosen = name.removeprefix("--format=") if name.startswith("--format=") else value if name == "--format" else ""
        if chosen in ("text", "json", "github", "html"):
            return chosen  # type: ignore[return-value]  # mypy does not narrow a str to these literals
    return None


def _requested_color(arguments: Sequence[str]) -> str | None:
    words = " ".join(arguments).replace("=", " ")
    return next((choice for choice in ("auto", "always", "never") if f"--color {choice}" in words), None)


def _has_no_directory() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _no_directory() -> Diagnostic:
    return InvalidUsage.at(
        "the current directory was deleted or cannot be read", help="`cd` to another directory and try again"
    )


def _bug(error: Exception) -> Diagnostic:
    """Returns a finding that names the exception and its place; with MIGRATE_DEBUG, prints the traceback too."""
    if os.environ.get("MIGRATE_DEBUG"):
        lines = "".join(traceback.format_exception(error)).splitlines()
        click.echo("\n".join(map(printable, lines)), err=True)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} ({frames[-1].name})" if frames else ""
    return InternalError.at(
        f"this is a bug in migrate: {type(error).__name__}{where}: {error}",
        help=f"report it at {ISSUES} with the command and `migrate --version`; MIGRATE_DEBUG=1 shows the traceback",
    )


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    del param
    if not value or ctx.resilient_parsing:
        return
    click.echo("\n".join([*versions(), *_defaults_line()]))
    ctx.exit()


def _defaults_line() -> list[str]:
    """Returns a line that names the file of the defaults, if there is one."""
    try:
        path = nearest_file()
    except MigrateError as error:
        return [f"defaults {error.diagnostics[0].message}"]
    return [f"defaults {path}"] if path else []


def versions() -> list[str]:
    """Returns the versions of migrate, Python and the checkpoint libraries; imports none of them."""
    from importlib.metadata import PackageNotFoundError, version

    lines = [f"migrate {__version__}", f"Python {'.'.join(map(str, sys.version_info[:3]))}"]
    for package in ("jax", "flax", "orbax-checkpoint"):
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} not installed")
    return lines


@click.group(
    cls=Commands,
    epilog=examples(
        "migrate suggest old/ --template my_model:make_state -o rules.yaml",
        "migrate apply rules.yaml old/ new/ --dry-run",
        "migrate apply rules.yaml old/ new/",
    ),
    context_settings=SETTINGS,
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show versions and exit.",
)
@click.option("--isolated", is_flag=True, help="Ignore defaults of options in pyproject.toml.")
def migrate(isolated: bool) -> None:
    """Migrate a JAX/Flax checkpoint to a new version of its model, and verify the result.

    `inspect` and `diff` show what there is, `suggest` drafts a rule file, `check` reports its mistakes,
    `apply --dry-run` shows the plan, `plan` saves it for review, `apply` migrates, `verify` checks the result again
    later.

    Exit codes: 0 yes or done; 1 no, such as a difference, a mistake in the rules or a failed verification; 2 no answer
    because of wrong usage or unreadable input; 3 stopped, rerun to resume; 130 aborted.
    """


def main() -> None:
    """Runs the installed command. JAX stays on the CPU: no accelerator is needed for files."""
    if VARIABLE in os.environ:
        answer(migrate)
        return
    if (reason := unsupported()) is not None:
        click.echo(f"Error: {reason}", err=True)
        sys.exit(int(ExitCode.FAILED))
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    migrate.main(prog_name="migrate")
