"""`migrate stage`: stages one share of a plan, for schedulers."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from migrate.cli import options, running
from migrate.cli.arguments import require_order
from migrate.cli.console import Console, exit_with
from migrate.cli.places import CHECKPOINT, PLACE
from migrate.cli.plan_origin import plan_origin
from migrate.codes import InvalidUsage
from migrate.engine.streaming.stopping import Stopping
from migrate.errors import UsageError
from migrate.places.names import destination_path

if TYPE_CHECKING:
    from migrate.report.view import Report


class ShareType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """`--share`: the number of a share and the number of shares, such as `3/16`."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Returns both numbers."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", str(value), re.ASCII)
        if found is None:
            self.fail(f"`{value}` is not of the form NUMBER/SHARES, such as 0/16", param, ctx)
        number, count = int(found[1]), int(found[2])
        if number >= count:
            self.fail(f"`{value}`: shares are numbered from 0, so that the last of {count} is {count - 1}", param, ctx)
        return number, count


@click.command(
    "stage",
    short_help="Stage one share of a plan, for schedulers.",
    epilog=options.examples("migrate stage plan.json old/ new/ --share 0/16", bundled=True),
    context_settings=options.SETTINGS,
)
@click.argument("plan", type=PLACE)
@click.argument("src", type=CHECKPOINT)
@click.argument("dst", type=CHECKPOINT)
@click.option(
    "--share",
    type=ShareType(),
    required=True,
    metavar="I/N",
    help="Number of the share, from 0, and number of shares.",
)
@options.sources
@running.run_options
@options.output
def command(
    console: Console, plan: str, src: str, dst: str, *, share: tuple[int, int], request: running.Request
) -> None:
    """Stage share I of N of the arrays that PLAN streams from SRC, beside DST.

    PLAN is a plan file or a rule file. Every share is a process of its own, on any machine that sees SRC and the
    directory of DST, such as a task of a job array. `migrate commit` with the same arguments publishes DST once all
    shares are staged. A share that is staged already is left as it is; one that was killed is resumed.

    The options are those of `apply`, so that one list of them serves `stage` and `commit`.
    """
    require_order(plan, src, dst)
    if request.as_step:
        advice = "choose one step with `--step N`"
        raise UsageError(InvalidUsage.at("`stage` takes one checkpoint, not the steps of a root", help=advice))
    report = _run(console, plan, src, dst, share, request)
    console.text(report)
    console.finish([report])
    exit_with(report.exit_code)


def _run(console: Console, rules: str, src: str, dst: str, share: tuple[int, int], request: running.Request) -> Report:
    from migrate.engine.sharing.one_share import stage_one
    from migrate.report.of_plan import plan_report
    from migrate.report.of_share import share_report

    origin = plan_origin(rules, request)
    with running.open_chosen(origin, src, request) as source:
        _, plan = running.made_and_fitted(origin, source, dst, request, probed=True)
        if request.dry_run or not plan.applicable:
            shown = plan_report(plan, dst, dry_run=request.dry_run, verbose=console.complete, text_of=options.text_of)
            return replace(shown, command="stage")
        with Stopping() as stopped, console.progress() as listener:
            how: dict[str, Any] = {"listener": listener, "stopped": stopped}
            staged = stage_one(plan, source.reader, destination_path(dst), request.options, *share, **how)
    return share_report(plan, dst, staged, share)
