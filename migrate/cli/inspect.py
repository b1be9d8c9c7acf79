"""`migrate inspect`: shows the contents of a checkpoint."""

from __future__ import annotations

import click

from migrate.cli import options
from migrate.cli.arguments import refuse_rule_file
from migrate.cli.console import Console, exit_with
from migrate.cli.places import CHECKPOINT
from migrate.places.names import place_of


@click.command(
    "inspect",
    short_help="Show the format, steps, tree and metadata of a checkpoint.",
    context_settings=options.SETTINGS,
)
@click.argument("ckpt", type=CHECKPOINT)
@options.step
@options.item
@options.follow_links
@click.option(
    "--template",
    metavar="M:F",
    help="The Equinox model that was saved in a file of arrays without names; it gives them its key paths.",
)
@click.option(
    "--depth", type=click.IntRange(min=1), metavar="N", help="Levels of the tree to show (default: as many as fit)."
)
@options.output
def command(
    console: Console,
    ckpt: str,
    step: int | str | None,
    item: str | None,
    follow_links: bool,
    template: str | None,
    depth: int | None,
) -> None:
    """Show the format, origin, steps, items, metadata and tree of a checkpoint. No array is read.

    Files that are missing or too short for their leaves are listed; the exit code is then 2.

    Repeated layers share one line. In a tree that does not fit on a screen, collapsed nodes show their totals; --depth
    expands more levels, -v all of them.
    """
    from migrate import api
    from migrate.engine.workspace.directory import clear_needless
    from migrate.report.of_checkpoint import checkpoint_report

    refuse_rule_file(ckpt)
    clear_needless(place_of(ckpt))
    chosen = options.chosen_step(step)
    with api.open_checkpoint(ckpt, chosen, item, follow_links=follow_links, template=template) as checkpoint:
        report = checkpoint_report(checkpoint.abstract, verbose=console.complete, depth=depth)
    console.text(report, findings_to_stdout=True)
    console.finish([report])
    exit_with(report.exit_code)
