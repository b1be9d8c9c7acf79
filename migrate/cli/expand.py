"""`migrate expand`: adds a second layout to a step, beside the old one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from migrate.cli import candidates, options
from migrate.cli.arguments import require_order
from migrate.cli.console import Console, exit_with
from migrate.cli.places import PLACE
from migrate.cli.plan_origin import origin_of
from migrate.cli.running import Request
from migrate.engine.options import ApplyOptions, VerifyMode
from migrate.engine.streaming.stopping import Stopping
from migrate.errors import MigrateError

if TYPE_CHECKING:
    from migrate.engine.layouts.expand import Expansion
    from migrate.planning.model import Plan
    from migrate.report.view import Report


@click.command(
    "expand",
    short_help="Add the new layout to a step, beside the old one.",
    epilog=options.examples(
        "migrate expand rules.yaml root/1000 --dry-run",
        "migrate expand rules.yaml root/1000 --as state_v2",
        bundled=True,
    ),
    context_settings=options.SETTINGS,
)
@click.argument("rules", type=PLACE)
@click.argument("step", type=PLACE)
@click.option("-n", "--dry-run", is_flag=True, help="Show the plan and stop; exit with 1 if it cannot be applied.")
@click.option(
    "--item",
    metavar="NAME",
    shell_complete=candidates.items,
    help="Item that the layout is made from (default: the only pytree of STEP).",
)
@click.option("--as", "name", metavar="NAME", help="Name of the new item (default: such as state_v2).")
@options.versions("STEP")
@options.template
@options.follow_links
@options.mesh
@options.partition
@click.option(
    "--verify",
    type=click.Choice(["full", "decode", "digest", "none"]),
    default="digest",
    help="What to verify before the item appears, as in `migrate apply` (default: digest).",
)
@options.allow_code
@options.max_ram
@options.jobs
@options.output
def command(
    console: Console,
    rules: str,
    step: str,
    dry_run: bool,
    item: str | None,
    name: str | None,
    to: str | None,
    start: str | None,
    template: str | None,
    follow_links: bool,
    mesh: str | None,
    partition: str | None,
    verify: VerifyMode,
    allow_code: bool,
    max_ram: int,
    jobs: int | None,
) -> None:
    """Apply RULES to an item of STEP, one step of a root, and add the result to STEP as another item.

    RULES is a rule file, a plan file of `migrate plan`, or a folder of rule files, which lead from the version of STEP
    to the newest as in `migrate upgrade`.

    Unlike `apply`, this changes the checkpoint that it reads: STEP gets an item, and `_CHECKPOINT_METADATA` is replaced
    by one rename, so that it lists the item and has its record, as is a record of digests. All other files stay. The
    new item shares the data files of the old one, so only what is streamed is added as data, and old code and new code
    both load STEP.

    STEP is valid at every moment; after Ctrl-C or a kill, the same command resumes. `migrate contract` drops one of the
    layouts again.
    """
    from migrate.checkpoint import Checkpoint
    from migrate.engine.layouts.expand import Expansion
    from migrate.formats.step_item import open_step_item
    from migrate.report.of_layouts import expansion_planned
    from migrate.report.of_plan import plan_report

    require_order(rules, step)
    chosen = ApplyOptions(verify=verify, allow_code=allow_code, max_ram=max_ram, jobs=jobs)
    request = Request(
        template=template,
        item=item,
        follow_links=follow_links,
        mesh=mesh,
        partition=partition,
        dry_run=dry_run,
        options=chosen,
    )
    origin = origin_of(rules, request, to=to, start=start)
    known = origin.rules
    reader = open_step_item(step, item, known.source.unbox, follow_links=follow_links, separator=known.source.separator)
    with reader:
        source = Checkpoint(reader)
        expansion = Expansion.named(reader, name, origin.target_version(source))
        made = origin.plan(source, probed=known.probe is not None)
        plan = expansion.output.fit(made)
        shown = {"dry_run": dry_run, "verbose": console.complete}
        alone = replace(plan, source=replace(plan.source, unread=()))  # no other item of the step takes part
        report = plan_report(alone, str(expansion.place), **shown, probe=known.probe, text_of=options.text_of)
        report = expansion_planned(report, plan, expansion)
        if dry_run and plan.applicable:
            report = _checked(expansion, plan, chosen, report)
        stops = dry_run or not plan.applicable
        if stops or not console.quiet:
            console.text(report)
        if not stops:
            report = _run(console, expansion, plan, chosen, report)
    console.finish([report])
    exit_with(report.exit_code)


def _checked(expansion: Expansion, plan: Plan, chosen: ApplyOptions, report: Report) -> Report:
    """Returns the report of a dry run with everything for which the run would be refused before it writes."""
    from migrate.report.view import findings

    try:
        done = expansion.check(plan, chosen)
    except MigrateError as error:
        found = (*report.findings, *findings(error.diagnostics, options.text_of))
        refused = "`expand` would refuse this plan. Nothing was written."
        return replace(report, exit_code=error.exit_code, findings=found, summary=(*report.summary[:-1], refused))
    data = {**report.data, "already_done": done is not None}
    return replace(report, data=data)


def _run(console: Console, expansion: Expansion, plan: Plan, chosen: ApplyOptions, report: Report) -> Report:
    from migrate.report.of_layouts import expanded_report

    with Stopping() as stopped, console.progress() as listener:
        done = expansion.run(plan, chosen, listener=listener, stopped=stopped)
    added = expanded_report(done)
    console.text(added)
    return replace(
        report,
        summary=(*report.summary, *added.summary),
        findings=(*report.findings, *added.findings),
        data={**report.data, **added.data, "already_done": done.receipt.already_done},
    )
