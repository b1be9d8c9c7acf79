"""A squashed rule file as a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.report.amounts import plural
from migrate.report.of_plan import plan_data
from migrate.report.view import Report

if TYPE_CHECKING:
    from migrate.planning.versions.squash import Squashed


def squash_report(made: Squashed, output: str) -> Report:
    """Reports what a squashed file replaces.

    Args:
      made: the file and its plan.
      output: the name of the file.
    """
    leaves = plural(len(made.plan.target.leaves), "leaf")
    return Report(
        "squash",
        summary=(
            f"{output}: {plural(made.rules, 'rule')} for {plural(len(made.files), 'file')}: {', '.join(made.files)}.",
            f"Its plan computes the same values as the chain: {leaves} compared.",
            "Two chains between two versions are ambiguous: move the old files out before you add this one.",
        ),
        data={"rules": made.text, "files": list(made.files), **plan_data(made.plan)},
    )
