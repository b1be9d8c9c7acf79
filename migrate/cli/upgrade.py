"""`migrate upgrade`: a chain of rule files, carried out as one plan."""

from __future__ import annotations

import click

from migrate.cli import options, running
from migrate.cli.console import Console
from migrate.cli.places import CHECKPOINT, PLACE
from migrate.cli.plan_origin import folder_origin


@click.command(
    "upgrade",
    short_help="Upgrade a checkpoint to a newer version of its model.",
    epilog=options.examples("migrate upgrade rules/ old/ new/ --dry-run", "migrate upgrade rules/ old/ new/ --to 4"),
    context_settings=options.SETTINGS,
)
@click.argument("folder", type=PLACE, metavar="RULES")
@click.argument("src", type=CHECKPOINT)
@click.argument("dst", type=CHECKPOINT)
@options.versions("SRC")
@running.run_options
@options.output
def command(
    console: Console, folder: str, src: str, dst: str, *, to: str | None, start: str | None, request: running.Request
) -> None:
    """Upgrade the checkpoint SRC with the rule files of the folder RULES and write the result to DST.

    The record of SRC names its model and version; the `source:` and `target:` of the rule files lead from there to the
    newest version. All steps are carried out as one plan: leaves that exist only between two steps are never written,
    and a rename of a rename is a rename. The history of DST has an entry for each rule file. Everything else is as in
    `migrate apply`.
    """
    running.run(console, folder_origin(folder, request, to=to, start=start), src, dst, request)
