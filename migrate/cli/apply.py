"""`migrate apply`: shows the plan and runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from migrate.cli import options, running
from migrate.cli.arguments import require_order
from migrate.cli.console import Console

if TYPE_CHECKING:
    from migrate.checkpoint import Checkpoint
    from migrate.planning.model import Plan
    from migrate.rules.model import RuleSet


@click.command(
    "apply",
    short_help="Show the plan, run it and verify the result.",
    epilog=options.BUNDLED,
    context_settings=options.SETTINGS,
)
@click.argument("rules")
@click.argument("src")
@click.argument("dst")
@running.run_options
@options.output
def command(console: Console, rules: str, src: str, dst: str, *, request: running.Request) -> None:
    """Apply RULES to the checkpoint SRC and write the result to DST.

    DST becomes an Orbax checkpoint, or a single file if its name ends in .safetensors or .msgpack (Flax's format).

    The plan is shown first: `relink` marks arrays whose chunks are linked unread, `stream` those that are read and
    written. DST appears all at once, complete and verified, or not at all; SRC is only read. After Ctrl-C or a kill,
    the same command resumes. A DST that is the finished result of the same plan already is left as it is.
    """
    from migrate import api

    require_order(rules, src, dst)
    running.run(console, _RuleFile(api.load_rules(rules), request), src, dst, request)


@dataclass(frozen=True, slots=True)
class _RuleFile:
    """Makes plans from a rule file."""

    rules: RuleSet
    request: running.Request

    def plan(self, source: Checkpoint, *, probed: bool) -> Plan:
        """Returns the plan for a checkpoint and any DST."""
        from migrate import api

        request = self.request
        return api.plan(
            source,
            self.rules,
            request.template,
            mesh=request.mesh,
            partition=request.partition,
            as_step=request.as_step,
            link=request.link,
            max_ram=request.options.max_ram,
            require_proof=request.options.require_proof and not probed,
            allow_code=request.options.allow_code,
        )
