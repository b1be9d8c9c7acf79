"""`migrate squash`: one rule file for a chain of rule files."""

from __future__ import annotations

from contextlib import ExitStack

import click

from migrate.cli import options, rule_output
from migrate.cli.console import Console, exit_with
from migrate.cli.places import CHECKPOINT, PLACE


@click.command(
    "squash",
    short_help="Write one rule file for a chain.",
    epilog=options.examples("migrate squash rules/ --from 1 -o squashed.yaml"),
    context_settings=options.SETTINGS,
)
@click.argument("folder", type=PLACE, metavar="RULES")
@click.option("--from", "start", metavar="V", required=True, help="Version from which the file leads.")
@click.option("--to", metavar="V", help="Version to which it leads (default: the newest).")
@click.option(
    "--source",
    type=CHECKPOINT,
    metavar="SRC",
    help="Checkpoint of the first version (default: the recorded tree, V.tree.json).",
)
@rule_output.output
@rule_output.overwrite
@options.allow_code
@options.output
def command(
    console: Console,
    folder: str,
    start: str,
    to: str | None,
    source: str | None,
    output: str | None,
    overwrite: bool,
    allow_code: bool,
) -> None:
    """Write the rule file that has the effect of a chain of rule files of the folder RULES. Nothing is applied.

    The file is planned and compared with the chain before it is shown: every leaf is computed by the same ops.
    """
    from migrate import api
    from migrate.report.of_squash import squash_report

    rule_output.refuse_existing(output, overwrite=overwrite)
    known = api.load_versions(folder)
    with ExitStack() as stack:
        checkpoint = stack.enter_context(api.open_checkpoint(source)) if source else None
        made = api.squash(known, start, to, checkpoint=checkpoint, allow_code=allow_code)
    report = squash_report(made, output or "squashed.yaml")
    rule_output.show(console, report, made.text, output)
    exit_with(report.exit_code)
