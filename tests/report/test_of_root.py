"""The steps of a root as lines; `tests/cli/test_roots.py` draws a whole one."""

from pathlib import Path

from migrate.api.roots import ChosenSteps
from migrate.codes import DamagedFile
from migrate.errors import ExitCode
from migrate.formats.root import Root, RootStep
from migrate.planning.root_steps import choose_steps, parse_selector
from migrate.report.of_root import root_report
from migrate.report.view import Report

ROOT = Root(Path("old"), tuple(RootStep(number, f"s_{number}") for number in (1, 2, 3, 4)), ("5.tmp",))


def report(checked, *, dry_run=False, damaged=()):
    selection = choose_steps(ROOT, parse_selector("2,3,4"), 2, skipped=damaged)
    problems = {number: (DamagedFile.at(f"{number} is cut"),) for number in damaged}
    chosen = ChosenSteps(ROOT, parse_selector("2,3,4"), selection, problems, 2)
    return root_report(chosen, "old", "new", checked, dry_run=dry_run)


def actions(made):
    return {row["step"]: row["action"] for row in made.data["root"]}


OK = Report("apply")
DONE = Report("apply", data={"already_done": True})
REFUSED = Report("apply", ExitCode.NO)


def test_every_step_has_a_line():
    made = report([OK, DONE])
    assert {1: "left out", 2: "dropped", 3: "write", 4: "done", None: "unfinished"} == actions(made)
    assert ["new/s_3", "new/s_4"] == [row.target for row in made.rows if row.target]
    assert "old → new (step 2,3,4, keep 2)" == made.title
    assert ("2 steps of 4 chosen.",) == made.summary


def test_steps_beside_a_refused_one_are_held_back():
    made = report([OK, REFUSED])
    assert ("held back", "refused") == (actions(made)[3], actions(made)[4])
    assert "1 step cannot be migrated. Nothing was written." == made.summary[-1]


def test_skipped_steps_are_named_and_their_errors_are_warnings():
    made = report([OK, OK], damaged=[4])
    assert {2: "write", 3: "write", 4: "skipped"}.items() <= actions(made).items()
    assert [("warning", "4 is cut")] == [(found.severity, found.message) for found in made.findings]


def test_a_dry_run_writes_nothing():
    assert "Nothing was written." == report([OK, OK], dry_run=True).summary[-1]
