"""Plans, diffs, checkpoints and receipts as HTML for a notebook."""

from __future__ import annotations

from dataclasses import replace

from migrate.checkpoint import Checkpoint
from migrate.engine.receipt import Receipt
from migrate.planning.diff import Diff
from migrate.planning.model import Plan
from migrate.report.html import draw_fragment
from migrate.report.of_checkpoint import checkpoint_report
from migrate.report.of_diff import SideLabel, diff_report
from migrate.report.of_plan import plan_report
from migrate.report.of_receipt import receipt_report
from migrate.report.view import Report


def draw_value(value: object) -> str | None:
    """Draws the report of a value; None for values of other types."""
    report = _report(value)
    return draw_fragment(report) if report else None


def _report(value: object) -> Report | None:
    match value:
        case Plan():
            return plan_report(value, "DST", dry_run=False)
        case Diff():
            labels = SideLabel("source", "tree"), SideLabel("target", "tree")
            return replace(diff_report(value, *labels), title="Diff")
        case Checkpoint():
            return checkpoint_report(value.abstract)
        case Receipt():
            return replace(receipt_report(value), title=f"Receipt of {value.destination}")
    return None
