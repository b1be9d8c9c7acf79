import os
from pathlib import Path

import pytest

from migrate.cli.console import Console
from migrate.events import ignore
from tests.cli.terminals import on_terminal_here

NARROW = """\
migrate: 1
rules:
  - from: "params/EncoderBlock_{i}/LayerNorm_{k}/**"
    to: "model/blocks/norm{k+1}/**"
    ops: [{stack: {axis: 0, over: i}}]
  - from: "params/EncoderBlock_{i}/MultiHeadDotProductAttention_0/**"
    to: "model/blocks/attn/**"
    ops: [{stack: {axis: 0, over: i}}]
  - "params/Embed_0/** -> model/embed/**"
  - drop: "**/Dense_0/**"
unmatched: {source: drop}
"""


@pytest.mark.parametrize("columns", [40, 60, 80, 137])
def test_every_line_fits_a_terminal(columns, here):
    """Of the plan with its findings, on a terminal of its own."""
    command = ("apply", "-n", "broken_leaf.yaml", "old.msgpack", "new", "--color", "never")
    (here / "broken_leaf.yaml").write_text(
        (here / "rules.yaml").read_text().replace("params/old_head", "params/olb_head")
    )
    shown = on_terminal_here(columns, *command).kept
    assert "error[" in shown
    assert "olb_head" in shown
    assert max(map(len, shown.splitlines())) <= columns


@pytest.mark.parametrize("columns", [40, 60])
@pytest.mark.parametrize("command", ["inspect", "plan", "diff"])
def test_reports_on_a_narrow_terminal(columns, command, here, golden):
    """Nothing is cut, key paths end at a `/`, and what belongs together is aligned."""
    real = Path(__file__).parents[2] / "fixtures" / "linen_2024"
    (here / "rules.yaml").write_text(NARROW)
    for name, fixture in (("old", "lm_standard_sharded"), ("scanned", "lm_scan_manager_sharded")):
        os.symlink(real / fixture / "ckpt", name)
    arguments = {
        "inspect": ("inspect", "old"),
        "plan": ("apply", "rules.yaml", "old", "new", "--dry-run"),
        "diff": ("diff", "old", "scanned"),
    }[command]
    shown = on_terminal_here(columns, *arguments, "--color", "never", "--follow-links").text
    golden(f"cli/narrow_{command}_{columns}.txt", shown)


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
