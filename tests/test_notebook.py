"""Values in a real notebook, run by Jupyter's kernel: covers `migrate.notebook`."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
CASE = ROOT / "fixtures" / "linen_2022" / "cnn_flax_msgpack" / "ckpt" / "checkpoint_100"
SETUP = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import migrate
from pathlib import Path
Path("rules.yaml").write_text('migrate: 1\\nrules:\\n  - "params/** -> model/**"\\n  - drop: "opt_state/**"\\n')
checkpoint = migrate.open_checkpoint({str(CASE)!r})
plan = migrate.plan(checkpoint, migrate.load_rules("rules.yaml"))
"""
CELLS = (
    SETUP,
    "checkpoint",
    "plan",
    "migrate.diff(checkpoint, migrate.Checkpoint(checkpoint.reader))",
    "migrate.apply(plan, checkpoint, 'new')",
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The HTML of the last four cells' outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    folder = str(tmp_path_factory.mktemp("notebook"))
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return [cell.outputs[-1].data["text/html"] for cell in notebook.cells[1:]]


def test_a_notebook_shows_a_checkpoint_a_plan_a_diff_and_a_receipt(shown: list[str]):
    checkpoint, plan, diff, receipt = shown
    assert "flax msgpack" in checkpoint
    assert "params" in checkpoint
    assert re.search(r"<strong>Plan [0-9a-f]{12} ", plan)
    assert "→ model/" in plan
    assert "No differences" in diff
    assert "<strong>Receipt of new</strong>" in receipt
    assert "plan_digest" in receipt


def test_an_output_loads_nothing_and_runs_nothing(shown: list[str]):
    for html in shown:
        assert "<script" not in html
        assert "src=" not in html
        assert "://" not in html


def test_the_style_of_an_output_applies_to_nothing_else(shown: list[str]):
    (style,) = {re.search(r"<style>(.*?)</style>", html, re.S)[1].strip() for html in shown}
    assert all(line.startswith(".migrate-report") for line in style.splitlines())
