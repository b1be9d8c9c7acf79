"""`docs/reference/json.md` names every field that the commands print with `--json`."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from migrate.cli.main import migrate
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs/reference/json.md").read_text(encoding="utf-8")
GOLDEN = ROOT / "tests/golden"
RULES = 'migrate: 1\nrules:\n  - "a/w -> b/w"\n  - drop: c\n'


def fields_of(section: str) -> set[str]:
    """The fields that the tables of a section name."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    assert text, f"the page has no section {section}"
    return set(re.findall(r"`(\w+)`", text))


def section_of(report: dict[str, Any]) -> str:
    if "migrate_plan" in report:
        return "Plan files"
    joined = ("plan", "apply")
    return "`migrate plan` and `migrate apply`" if report["command"] in joined else f"`migrate {report['command']}`"


def unnamed(report: dict[str, Any]) -> set[str]:
    """The top-level fields of a report that the page does not name, neither for every command nor for its own."""
    return set(report) - fields_of("Every command") - fields_of(section_of(report))


def golden_reports() -> list[Any]:
    texts = {path.relative_to(GOLDEN).as_posix(): path.read_text(encoding="utf-8") for path in GOLDEN.rglob("*.json")}
    reports = {name: json.loads(text) for name, text in sorted(texts.items())}
    return [pytest.param(report, id=name) for name, report in reports.items() if isinstance(report, dict)]


@pytest.mark.parametrize("report", golden_reports())
def test_the_page_names_every_field_of_a_golden_output(report: dict[str, Any]):
    assert set() == unnamed(report)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("rules.yaml").write_text(RULES)
    save_file({"a.w": np.ones((2, 3), np.float32), "c": np.ones(2, np.float32)}, "old.safetensors")
    return tmp_path


def run(command: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(migrate, [*command.split(), "--json"])
    assert code == done.exit_code, done.output
    return json.loads(done.stdout)


def test_the_page_names_every_field_that_the_commands_print(here: Path):
    applied = run("apply rules.yaml old.safetensors new.safetensors")
    reports = [
        applied,
        run("inspect old.safetensors"),
        run("init old.safetensors first"),
        run("diff old.safetensors new.safetensors --values", code=1),
        run("check rules.yaml old.safetensors"),
        run("check rules.yaml"),
        run("plan rules.yaml old.safetensors -o plan.json"),
        run("verify new.safetensors"),
        run("verify new.safetensors --source old.safetensors --rules rules.yaml"),
    ]
    assert [set()] * len(reports) == [unnamed(report) for report in reports]
    assert set() == set(applied["receipt"]) - fields_of(section_of(applied))


def test_the_page_names_every_field_of_a_plan_and_of_a_leaf():
    plan, checkpoint = (
        json.loads((GOLDEN / f"report/{name}.json").read_text(encoding="utf-8"))
        for name in ("plan", "checkpoint_varied")
    )
    below = [*plan["tasks"], *plan["dropped"], *plan["created"]]
    assert set() == {name for entry in below for name in entry} - fields_of(section_of(plan))
    below = [*checkpoint["leaves"], *checkpoint["items"].values(), *checkpoint["subtrees"].values()]
    assert set() == {name for entry in below for name in entry} - fields_of(section_of(checkpoint))


def test_the_page_names_every_field_of_a_finding(here: Path):
    Path("rules.yaml").write_text(RULES.replace("a/w", "missing/w"))
    (finding, *_) = run("check rules.yaml old.safetensors", code=1)["diagnostics"]
    assert set() == {*finding, *finding["span"]} - fields_of("Every command")


def test_a_field_that_the_page_lacks_is_found():
    assert {"leaf_count"} == unnamed({"command": "inspect", "ok": True, "leaf_count": 3})
