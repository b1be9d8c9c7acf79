"""`migrate inspect`: shows the contents of a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from migrate.cli import candidates, options
from migrate.cli.arguments import refuse_rule_file
from migrate.cli.chunks import with_reads
from migrate.cli.console import Console, exit_with
from migrate.cli.places import CHECKPOINT
from migrate.codes import InvalidUsage
from migrate.errors import PlanError, UsageError
from migrate.places.names import place_of

if TYPE_CHECKING:
    from migrate.checkpoint import Checkpoint
    from migrate.report.view import Report


@click.command(
    "inspect",
    short_help="Show the format, steps, tree and metadata of a checkpoint.",
    epilog=options.examples("migrate inspect old/", "migrate inspect root/ --step 1000 --item params --depth 3"),
    context_settings=options.SETTINGS,
)
@click.argument("ckpt", type=CHECKPOINT)
@options.step
@options.item
@options.follow_links
@click.option(
    "--template",
    metavar="M:F",
    shell_complete=candidates.file,
    help="The Equinox model that was saved in a file of arrays without names; it gives them its key paths.",
)
@click.option(
    "--depth", type=click.IntRange(min=1), metavar="N", help="Levels of the tree to show (default: as many as fit)."
)
@click.option(
    "--for",
    "load_meshes",
    multiple=True,
    metavar="AXES",
    help="Also print how much the devices of a mesh, such as data=1,fsdp=128, decode for their own bytes, today and "
    "after `migrate tune`; `any` stands for every mesh up to 16x16; may be given several times.",
)
@options.partition
@options.output
def command(
    console: Console,
    ckpt: str,
    step: int | str | None,
    item: str | None,
    follow_links: bool,
    template: str | None,
    depth: int | None,
    load_meshes: tuple[str, ...],
    partition: str | None,
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
    if partition is not None and not options.meshes_of(load_meshes):
        advice = "name the axes, for example `--for data=1,fsdp=128`"
        raise UsageError(InvalidUsage.at("a partition needs a mesh", help=advice))
    clear_needless(place_of(ckpt))
    chosen = options.chosen_step(step)
    with api.open_checkpoint(ckpt, chosen, item, follow_links=follow_links, template=template) as checkpoint:
        report = checkpoint_report(checkpoint.abstract, verbose=console.complete, depth=depth)
        if load_meshes and report.ok:
            report = _with_reads(report, checkpoint, load_meshes, partition, verbose=console.complete)
    console.text(report, findings_to_stdout=True)
    console.finish([report])
    exit_with(report.exit_code)


AFTER = "after `migrate tune`"
"""When the target of the plan exists, in words."""


def _with_reads(
    report: Report, checkpoint: Checkpoint, load_meshes: tuple[str, ...], partition: str | None, *, verbose: bool
) -> Report:
    """Returns the report with the read amplification of the checkpoint, and of what `tune` would write.

    Raises:
      PlanError: a sharding does not fit a mesh (`InvalidSharding`), or no array is divided (`NothingDivided`).
    """
    from migrate import api
    from migrate.report.view import findings

    plan = api.plan_tune(checkpoint, options.meshes_of(load_meshes), partition=partition)
    if not plan.applicable:
        raise PlanError(*(found for found in plan.diagnostics if found.is_error))
    noted = replace(report, findings=(*report.findings, *findings(plan.diagnostics)))
    return with_reads(noted, plan, load_meshes, partition, of_target=False, verbose=verbose, ends=False, after=AFTER)
