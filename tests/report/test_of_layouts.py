"""What `expand` and `contract` report, beyond what the tests of the commands look at."""

from pathlib import Path

from migrate.engine.layouts.contract import Contracted, Contraction
from migrate.report.of_layouts import contracted_report, contraction_planned


def test_a_completed_run_has_nothing_left_to_drop():
    report = contracted_report(Contracted(Path("run/7"), "state", (), 0))
    assert "Completed an earlier run on run/7; nothing was left to drop." == report.summary[0]
    assert [] == report.data["dropped"]


def test_a_planned_contraction_names_every_item():
    report = contraction_planned(Contraction(Path("run/7"), "c", ("a", "b")))
    assert "Would drop a, b from run/7, and keep c." == report.summary[0]
    assert "Would drop nothing more" in contraction_planned(Contraction(Path("x"), "c", (), ("a",))).summary[0]
