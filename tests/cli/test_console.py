import pytest

from migrate.cli.console import Console
from migrate.events import ignore
from tests.cli.terminals import on_terminal


@pytest.mark.parametrize("columns", [40, 60, 80, 137])
def test_every_line_fits_a_terminal(columns, here):
    """Of the plan with its findings, on a terminal of its own."""
    command = ("apply", "-n", "broken_leaf.yaml", "old.msgpack", "new", "--color", "never")
    (here / "broken_leaf.yaml").write_text(
        (here / "rules.yaml").read_text().replace("params/old_head", "params/olb_head")
    )
    shown = on_terminal(columns, *command).kept
    assert "error[" in shown
    assert "olb_head" in shown
    assert max(map(len, shown.splitlines())) <= columns


def test_quiet_shows_no_progress():
    with Console(quiet=True).progress() as listener:
        assert ignore is listener


@pytest.mark.parametrize(
    ("options", "complete"),
    [
        ({}, False),
        ({"format": "json"}, False),
        ({"verbose": True}, True),
        ({"format": "html"}, True),
        ({"format": "github"}, True),
        ({"report_file": "page.html"}, True),
    ],
)
def test_reports_that_are_kept_are_complete(options, complete):
    assert complete == Console(**options).complete
