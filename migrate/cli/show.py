"""`migrate show`: draws a plan file."""

from __future__ import annotations

import click

from migrate.cli import options
from migrate.cli.console import Console, exit_with
from migrate.cli.places import PLACE


@click.command(
    "show",
    short_help="Draw a plan file.",
    epilog=options.examples("migrate show plan.json", "migrate show plan.json -v"),
    context_settings=options.SETTINGS,
)
@click.argument("plan", type=PLACE)
@options.output
def command(console: Console, plan: str) -> None:
    """Draw the plan file PLAN as `apply` draws a plan; reads no checkpoint and runs no code."""
    from migrate.api.plan_files import read_plan_file
    from migrate.report.of_plan_file import plan_file_report

    report = plan_file_report(read_plan_file(plan), verbose=console.complete)
    console.text(report)
    console.finish([report])
    exit_with(report.exit_code)
