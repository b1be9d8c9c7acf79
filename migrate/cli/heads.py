"""`migrate heads`: the versions that a folder of rule files knows."""

from __future__ import annotations

import click

from migrate.cli import options
from migrate.cli.console import Console, exit_with
from migrate.cli.places import PLACE


@click.command(
    "heads",
    short_help="Draw the versions of a folder of rule files.",
    epilog=options.examples("migrate heads rules/"),
    context_settings=options.SETTINGS,
)
@click.argument("folder", type=PLACE, metavar="RULES")
@options.output
def command(console: Console, folder: str) -> None:
    """Draw the versions between which the rule files of the folder RULES lead, and name the newest.

    Exit code 1 means that a model has more than one newest version, or that rule files lead in a circle.
    """
    from migrate import api
    from migrate.report.of_versions import heads_report

    report = heads_report(api.load_versions(folder))
    console.text(report)
    console.finish([report])
    exit_with(report.exit_code)
