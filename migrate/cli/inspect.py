"""`migrate inspect`: what is in a checkpoint."""

from __future__ import annotations

import click

from migrate.cli import options
from migrate.cli.console import Console


@click.command(
    "inspect", short_help="What is in a checkpoint: format, steps, tree, metadata.", context_settings=options.SETTINGS
)
@click.argument("ckpt")
@options.step
@options.item
@options.speaking
def command(console: Console, ckpt: str, step: int | str | None, item: str | None) -> None:
    """Show a checkpoint: format, era, steps, items, metadata, and its tree. No array is read."""
    from migrate import api
    from migrate.report.of_checkpoint import checkpoint_report

    with api.open_checkpoint(ckpt, options.chosen_step(step), item) as checkpoint:
        report = checkpoint_report(checkpoint.abstract, verbose=console.complete)
    console.text(report)
    console.finish([report])
