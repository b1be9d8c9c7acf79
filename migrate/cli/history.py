"""`migrate history`: the migrations that a checkpoint records."""

from __future__ import annotations

import click

from migrate.cli import options
from migrate.cli.console import Console, exit_with
from migrate.cli.places import CHECKPOINT


@click.command(
    "history",
    short_help="List the migrations of a checkpoint.",
    epilog=options.examples("migrate history new/"),
    context_settings=options.SETTINGS,
)
@click.argument("ckpt", type=CHECKPOINT)
@options.step
@options.item
@options.follow_links
@options.output
def command(console: Console, ckpt: str, step: int | str | None, item: str | None, follow_links: bool) -> None:
    """List the rule files that were applied to the checkpoint CKPT, the oldest first, as its record names them."""
    from migrate import api
    from migrate.report.of_versions import history_report

    with api.open_checkpoint(ckpt, options.chosen_step(step), item, follow_links=follow_links) as checkpoint:
        report = history_report(ckpt, api.Metadata.from_json(checkpoint.abstract.metadata))
    console.text(report)
    console.finish([report])
    exit_with(report.exit_code)
