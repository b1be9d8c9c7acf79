"""The reference is made from code and complete, and links lead somewhere: covers `docs.site`."""

from pathlib import Path

import pytest

import migrate
from docs.site.links import repository_url
from docs.site.op_examples import EXAMPLES
from docs.site.reference import PAGES, write
from migrate.cli.main import COMMANDS
from migrate.errors import Code, ExitCode
from migrate.ops.registry import OPS
from tests.docs.pages import ROOT

DOCS = ROOT / "docs"
SITE = "https://example.org/repository"


def text_of(name: str) -> str:
    return "\n".join(PAGES[name]())


def test_every_op_has_an_example_that_the_rule_loader_reads():
    assert list(OPS) == list(EXAMPLES)
    assert all(example.results for example in EXAMPLES.values())


@pytest.mark.parametrize("name", OPS)
def test_the_reference_shows_an_op_with_its_arrays_and_its_inverse(name: str):
    section = text_of("ops.md").partition(f"## `{name}`\n")[2].partition("\n## ")[0]
    assert f"- {EXAMPLES[name].rule}" in section
    assert f"`{EXAMPLES[name].results[0]}`" in section
    assert "nverse: " in section


def test_the_reference_has_every_command_diagnostic_exit_code_and_public_name():
    assert all(f"## `migrate {name}`" in text_of("commands.md") for name in COMMANDS)
    assert all(f"### {number}: " in text_of("diagnostics.md") for number in Code.registry)
    assert all(f"| {code.value} | " in text_of("exit_codes.md") for code in ExitCode)
    assert all(f".{name}\n" in text_of("api.md") for name in migrate.__all__ if not name.startswith("_"))


def test_pages_that_are_made_no_more_are_removed(tmp_path: Path):
    (tmp_path / "old.md").write_text("# Old")
    write(tmp_path)
    assert sorted(PAGES) == sorted(page.name for page in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("../SECURITY.md", f"{SITE}/blob/main/SECURITY.md"),
        ("../SECURITY", f"{SITE}/blob/main/SECURITY.md"),
        ("examples/language_model", f"{SITE}/tree/main/docs/examples/language_model"),
        ("check_receipt.py", f"{SITE}/blob/main/docs/check_receipt.py"),
        ("rules.md", None),
        ("rules.md#output", None),
        ("benchmarks", None),
        ("missing.md", None),
        ("https://example.org", None),
    ],
)
def test_links_to_files_that_are_no_pages_lead_to_the_repository(target: str, url: str | None):
    assert url == repository_url(DOCS / "page.md", target, SITE)
