"""`migrate commit`: joins the shares that `migrate stage` staged, verifies the result and publishes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from shlex import join
from typing import TYPE_CHECKING

import click

from migrate.cli import options, running
from migrate.cli.arguments import require_order
from migrate.cli.console import Console
from migrate.cli.places import CHECKPOINT, PLACE
from migrate.cli.plan_origin import plan_origin
from migrate.cli.pool import PoolChoice
from migrate.codes import InvalidUsage
from migrate.errors import UsageError

if TYPE_CHECKING:
    from migrate.engine.sharing.workers import Workers


@click.command(
    "commit",
    short_help="Publish the shares of a plan, for schedulers.",
    epilog=options.examples("migrate commit plan.json old/ new/", bundled=True),
    context_settings=options.SETTINGS,
)
@click.argument("plan", type=PLACE)
@click.argument("src", type=CHECKPOINT)
@click.argument("dst", type=CHECKPOINT)
@options.sources
@running.run_options
@options.output
def command(console: Console, plan: str, src: str, dst: str, *, request: running.Request) -> None:
    """Join the shares of PLAN that `migrate stage` staged beside DST, verify the result and publish it as DST.

    The arguments and options are those of `stage`. Arrays that PLAN links are linked here. If shares are missing, the
    message names them with the command that stages them, nothing is published, and the exit code is 3.
    """
    require_order(plan, src, dst)
    if request.as_step:
        advice = "choose one step with `--step N`"
        raise UsageError(InvalidUsage.at("`commit` takes one checkpoint, not the steps of a root", help=advice))
    words = list(click.get_current_context().find_root().obj or ("commit", plan, src, dst))
    words[words.index("commit")] = "stage"
    request = replace(request, pool=_Staged(command=join(["migrate", *words])))
    running.run(console, plan_origin(plan, request), src, dst, request)


@dataclass(frozen=True, slots=True)
class _Staged(PoolChoice):
    """The choice of shares that are staged already.

    Attributes:
      command: the command that stages one, without its number.
    """

    command: str = ""

    @contextmanager
    def workers(self, *, dry_run: bool) -> Iterator[Workers]:
        """Yields the finished shares."""
        del dry_run
        from migrate.engine.sharing.finished_shares import FinishedShares

        yield FinishedShares(self.command)
