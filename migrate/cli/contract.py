"""`migrate contract`: drops the other layouts of a step that `expand` gave several."""

from __future__ import annotations

from typing import Literal

import click

from migrate.cli import candidates, options
from migrate.cli.arguments import refuse_rule_file
from migrate.cli.console import Console
from migrate.cli.places import PLACE


@click.command(
    "contract",
    short_help="Drop the other layout of a step.",
    epilog=options.examples("migrate contract root/1000 --keep state_v2"),
    context_settings=options.SETTINGS,
)
@click.argument("step", type=PLACE)
@click.option("--keep", metavar="NAME", required=True, shell_complete=candidates.items, help="The item that is kept.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what is dropped and stop.")
@click.option(
    "--verify",
    type=click.Choice(["extents", "decode"]),
    default="extents",
    help="What to check of the kept item first (default: extents). `extents` checks that every byte range that its "
    "arrays need is present. `decode` also decodes every array and compares it with its digest.",
)
@options.max_ram
@options.jobs
@options.output
def command(
    console: Console,
    step: str,
    keep: str,
    dry_run: bool,
    verify: Literal["extents", "decode"],
    max_ram: int,
    jobs: int | None,
) -> None:
    """Drop the other layouts of a state from STEP, one step of a root, and keep the item NAME.

    `migrate expand` adds such layouts. With the old item as NAME, the new one is dropped; with the new item as NAME,
    the old one. Nothing else is dropped, and only after NAME was checked. The step is valid at every moment; after a
    kill, the same command completes the run.
    """
    from migrate import api
    from migrate.engine.layouts.contract import plan_contraction
    from migrate.report.of_layouts import contracted_report, contraction_planned

    refuse_rule_file(step)
    if dry_run:
        report = contraction_planned(plan_contraction(step, keep))
    else:
        with console.progress() as listener:
            done = api.contract(step, keep=keep, verify=verify, max_ram=max_ram, jobs=jobs, listener=listener)
        report = contracted_report(done)
    console.text(report)
    console.finish([report])
