"""The first files of a migration as a report: what was written, and the commands to run next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrate.errors import ExitCode
from migrate.planning.starter import family_sentences
from migrate.report.amounts import plural
from migrate.report.view import Report, findings

if TYPE_CHECKING:
    from migrate.planning.starter import Starter


@dataclass(frozen=True, slots=True)
class NextCommands:
    """The commands to run next.

    Attributes:
      plan: shows the plan.
      suggest: drafts the rules for the new model.
    """

    plan: str
    suggest: str


def starter_report(made: Starter, files: Sequence[str], commands: NextCommands) -> Report:
    """Reports the first files.

    Args:
      made: their content.
      files: the names of the template and of the rule file.
      commands: the commands to run next.
    """
    template, rules = files
    source = made.plan.source
    leaves = plural(len(source.tree.leaves), "leaf")
    keeps = ", which keeps every leaf" if made.plan.applicable else ""
    return Report(
        "init",
        exit_code=ExitCode.OK if made.plan.applicable else ExitCode.NO,
        summary=(
            f"Wrote {template} and {rules} for {source.path.name} ({source.format}, {leaves}).",
            *family_sentences(made.families),
            f"Next: `{commands.plan}` shows the plan{keeps}.",
            f"Then let `make_state` in {template} return the new model, and draft its rules: `{commands.suggest}`",
        ),
        findings=findings(made.plan.diagnostics),
        data={
            "files": list(files),
            "template": made.plan.template,
            "leaves": len(source.tree.leaves),
            "structure_hash": source.structure_hash,
            "families": [fit.family.name for fit in made.families],
            "next": [commands.plan, commands.suggest],
        },
    )
