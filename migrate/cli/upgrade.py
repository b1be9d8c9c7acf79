"""`migrate upgrade`: a chain of rule files, carried out as one plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from migrate.cli import options, running
from migrate.cli.console import Console
from migrate.cli.places import CHECKPOINT, PLACE

if TYPE_CHECKING:
    from migrate.checkpoint import Checkpoint
    from migrate.planning.model import Plan
    from migrate.rules.folder import RuleFolder
    from migrate.rules.model import RuleSet


@click.command(
    "upgrade",
    short_help="Upgrade a checkpoint to a newer version of its model.",
    context_settings=options.SETTINGS,
)
@click.argument("folder", type=PLACE, metavar="RULES")
@click.argument("src", type=CHECKPOINT)
@click.argument("dst", type=PLACE)
@click.option("--to", metavar="V", help="Version to upgrade to (default: the newest).")
@click.option("--from", "start", metavar="V", help="Version of SRC (default: from the record of SRC).")
@running.run_options
@options.output
def command(
    console: Console, folder: str, src: str, dst: str, *, to: str | None, start: str | None, request: running.Request
) -> None:
    """Upgrade the checkpoint SRC with the rule files of the folder RULES and write the result to DST.

    The record of SRC names its model and version; the `source:` and `target:` of the rule files lead from there to the
    newest version. All steps are carried out as one plan: leaves that exist only between two steps are never written,
    and a rename of a rename is a rename. The history of DST has an entry for each rule file. Everything else is as in
    `migrate apply`.
    """
    from migrate import api

    running.run(console, _Folder(api.load_versions(folder), to, start, request), src, dst, request)


@dataclass(frozen=True, slots=True)
class _Folder:
    """Makes plans from the chain that leads from the version of a checkpoint to another."""

    folder: RuleFolder
    to: str | None
    start: str | None
    request: running.Request

    @property
    def rules(self) -> RuleSet:
        """No rules: which files are used depends on the record of the checkpoint."""
        from migrate.rules.model import RuleSet

        return RuleSet(self.folder.path, "", ())

    def plan(self, source: Checkpoint, *, probed: bool) -> Plan:
        """Returns the plan for a checkpoint and any DST."""
        from migrate import api

        request = self.request
        return api.plan_upgrade(
            source,
            self.folder,
            request.template,
            to=self.to,
            start=self.start,
            mesh=request.mesh,
            partition=request.target_partition,
            as_step=request.as_step,
            link=request.link,
            max_ram=request.options.max_ram,
            require_proof=request.options.require_proof and not probed,
            allow_code=request.options.allow_code,
        )
