"""`migrate suggest`: drafts a rule file for review, with marks where nothing proves an assignment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrate.cli import options
from migrate.cli.console import Console, exit_with
from migrate.codes import DestinationExists, WriteFailed
from migrate.errors import UsageError

if TYPE_CHECKING:
    from migrate.report.view import Report


@click.command("suggest", short_help="Draft a rule file for review.", context_settings=options.SETTINGS)
@click.argument("src")
@click.option(
    "--template",
    metavar="M:F",
    required=True,
    help="The target: a callable that returns the model, as `module:callable`.",
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), metavar="RULES", help="The rule file to write (default: stdout)."
)
@click.option("--overwrite", is_flag=True, help="Replace RULES if it exists.")
@options.step
@options.item
@options.output
def command(
    console: Console,
    src: str,
    template: str,
    output: str | None,
    overwrite: bool,
    step: int | str | None,
    item: str | None,
) -> None:
    """Draft a rule file that leads from the checkpoint SRC to a model. Nothing is applied.

    Assignments that names and shapes do not prove are marked `unproved:` and list the alternatives; leaves without a
    counterpart are listed, not guessed. Exit code 1 means that the draft needs edits before its plan can be applied.
    """
    from migrate import api
    from migrate.report.of_suggestion import suggestion_report

    _refuse_existing(output, overwrite=overwrite)
    with api.open_checkpoint(src, options.chosen_step(step), item) as source:
        suggestion = api.suggest(source, template)
        report = suggestion_report(suggestion, src, output or "rules.yaml")
    if output is not None:
        _write(output, suggestion.text)
    _show(console, report, None if output else suggestion.text)
    exit_with(report.exit_code)


def _show(console: Console, report: Report, text: str | None) -> None:
    """Prints the report; if the rule file goes to stdout, the report goes to stderr."""
    from migrate.report import text as as_text

    if console.format != "text" or text is None:
        console.text(report)
    else:
        console.out(text)
        if not console.quiet:
            console.error(as_text.draw(report))
    console.finish([report])


def _refuse_existing(output: str | None, *, overwrite: bool) -> None:
    if output is not None and not overwrite and os.path.lexists(output):
        raise UsageError(
            DestinationExists.at(f"{output} exists", help="`--overwrite` replaces it, edits made by hand included")
        )


def _write(output: str, text: str) -> None:
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(WriteFailed.at(f"cannot write {output}: {error.strerror}")) from error
