"""The command `migrate`: finds the command, runs it, and turns whatever happens into an exit code and a message.

Commands are imported when they are named, so that help and small commands start at once.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from migrate.cli.console import Console, Format
from migrate.cli.options import SETTINGS, text_of
from migrate.codes import InternalError, InvalidUsage
from migrate.errors import Diagnostic, ExitCode, MigrateError
from migrate.report.view import Report, findings
from migrate.version import __version__

COMMANDS = ("inspect", "diff", "suggest", "check", "apply", "verify", "explain", "schema")
"""In the order in which a migration needs them; each is a module of this package."""


class Commands(click.Group):
    """The group of all commands; the one place where exceptions become exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of use."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, imported now."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"migrate.cli.{cmd_name}").command
        return command

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run and exit."""
        gc.set_threshold(200_000, 50, 50)  # plans of 10,000 leaves are many small values that live until the end
        arguments = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        sys.exit(int(self._run(arguments, *rest, **extra)))

    def _run(self, arguments: list[str], *rest: Any, **extra: Any) -> int:
        try:
            result = super().main(arguments, *rest, **extra)
        except click.Abort:
            click.echo("\nStopped.", err=True)
            return ExitCode.INTERRUPTED
        except click.ClickException as error:
            return _misused(error, arguments)
        except MigrateError as error:
            return _fail(error.diagnostics, error.exit_code, arguments)
        except BrokenPipeError:
            # Whoever read our output has gone; nothing more can be said, and Python would complain again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ExitCode.FAILED
        except Exception as error:  # noqa: BLE001 (the last net: a bug of ours must not look like an answer)
            return _fail([_bug(error)], ExitCode.FAILED, arguments)
        return result if isinstance(result, int) else ExitCode.OK


def _misused(error: click.ClickException, arguments: Sequence[str]) -> ExitCode:
    """Wrong usage: click's own words, which name the option and the way to help."""
    if wanted_format(arguments) == "text":
        error.show()
        return ExitCode.FAILED
    return _fail([InvalidUsage.at(error.format_message(), help="`migrate COMMAND -h`")], ExitCode.FAILED, arguments)


def _fail(diagnostics: Sequence[Diagnostic], code: ExitCode, arguments: Sequence[str]) -> ExitCode:
    """Say why there is no answer, in the form in which the answer was wanted."""
    name = next((word for word in arguments if word in COMMANDS), "")
    console = Console(
        wanted_format(arguments), _colour(arguments), verbose="-v" in arguments or "--verbose" in arguments
    )
    report = Report(name, code, findings=findings(diagnostics, text_of))
    console.text(report)
    console.finish([report])
    return code


def wanted_format(arguments: Sequence[str]) -> Format:
    """The form of the answer, even when the arguments could not be understood."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--json" in options:
        return "json"
    for name, value in zip(options, [*options[1:], ""], strict=True):
        chosen = name.removeprefix("--format=") if name.startswith("--format=") else value if name == "--format" else ""
        if chosen in ("json", "github", "html"):
            return chosen  # type: ignore[return-value]  # mypy does not narrow a str to these literals
    return "text"


def _colour(arguments: Sequence[str]) -> Any:
    words = " ".join(arguments).replace("=", " ")
    return next((choice for choice in ("always", "never") if f"--color {choice}" in words), "auto")


def _bug(error: Exception) -> Diagnostic:
    """A finding about ourselves: what was raised and where; with MIGRATE_DEBUG, everything."""
    if os.environ.get("MIGRATE_DEBUG"):
        traceback.print_exception(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} ({frames[-1].name})" if frames else ""
    return InternalError.at(
        f"this is a bug in migrate: {type(error).__name__}{where}: {error}",
        help="please report it with the command and `migrate --version`; MIGRATE_DEBUG=1 shows the traceback",
    )


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    del param
    if not value or ctx.resilient_parsing:
        return
    click.echo("\n".join(versions()))
    ctx.exit()


def versions() -> list[str]:
    """Lines with the versions of migrate, Python and what checkpoints depend on, none of them imported."""
    from importlib.metadata import PackageNotFoundError, version

    lines = [f"migrate {__version__}", f"Python {'.'.join(map(str, sys.version_info[:3]))}"]
    for package in ("jax", "flax", "orbax-checkpoint"):
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} not installed")
    return lines


@click.group(cls=Commands, context_settings=SETTINGS)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print versions and exit.",
)
def migrate() -> None:
    """Move a JAX/Flax checkpoint to the model that you have now, and prove that nothing was lost.

    Look with `inspect` and `diff`, let `suggest` write a rule file, read and `check` it, see what `apply --dry-run`
    would do, `apply`.

    Exit codes: 0 yes or done, 1 the answer is no, 2 no answer, 3 stopped part-way, 130 Ctrl-C.
    """


def main() -> None:
    """The entry point of the installed command; keeps accelerators free, since checkpoints are only files here."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    migrate.main(prog_name="migrate")
