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
@click.option("--depth", type=click.IntRange(min=1), metavar="N", help="Levels of the tree; as many as fit without it.")
@options.speaking
def command(console: Console, ckpt: str, step: int | str | None, item: str | None, depth: int | None) -> None:
    """Show a checkpoint: format, era, steps, items, metadata, and its tree. No array is read.

    Repeated layers are one line. Of a tree that does not fit on a screen, what is closed says how much is below it;
    --depth opens more, -v everything.
    """
    from migrate import api
    from migrate.report.of_checkpoint import checkpoint_report

    with api.open_checkpoint(ckpt, options.chosen_step(step), item) as checkpoint:
        report = checkpoint_report(checkpoint.abstract, verbose=console.complete, depth=depth)
    console.text(report, findings_are_the_answer=True)
    console.finish([report])
