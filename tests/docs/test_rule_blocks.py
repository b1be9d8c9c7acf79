"""Every rule file, and every list of rules, that a page shows is read by the loader."""

import re
import textwrap
from pathlib import Path

import pytest

from migrate.errors import RuleFileError
from migrate.rules.loader import parse_rules
from tests.docs.pages import ROOT

DOCS = ROOT / "docs"
MADE = (DOCS / "build", DOCS / "reference/made")
"""What `make docs` writes: files that may come and go while tests are collected."""
PAGES = sorted(
    page for page in [ROOT / "README.md", *DOCS.rglob("*.md")] if not any(page.is_relative_to(made) for made in MADE)
)
SOURCES = ("lora", "other", "vision")
"""Sources that lists of rules name; the files around them declare them."""

_BLOCK = re.compile(r"^( *)```yaml\n(.*?)^\1```$", re.M | re.S)


def rule_files(text: str) -> list[str]:
    """The rule files of a page; a part of one is completed, and YAML for other tools is left out."""
    blocks = [textwrap.dedent(block) for _, block in _BLOCK.findall(text)]
    whole = [block for block in blocks if re.search(r"^migrate: 1\b", block, re.M)]
    parts = [block for block in blocks if re.match(r"(include|rules|sources|config):", block)]
    lists = [block for block in blocks if block.startswith("- ")]
    declared = "".join(f"  {name}: null\n" for name in SOURCES if any(f'"{name}:' in block for block in lists))
    head = "migrate: 1\n" + ("sources:\n" + declared if declared else "")
    return [
        *whole,
        *("migrate: 1\n" + block for block in parts if block not in whole),
        *(f"{head}rules:\n{textwrap.indent(block, '  ')}" for block in lists),
    ]


SHOWN = [page for page in PAGES if rule_files(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_rule_files_of_a_page_are_valid(page: Path, tmp_path: Path):
    (tmp_path / "shared").mkdir()
    for name in ("embeddings", "vision"):  # what the page about rules includes
        (tmp_path / f"shared/{name}.yaml").write_text("migrate: 1\nrules: []\n")
    for text in rule_files(page.read_text(encoding="utf-8")):
        parse_rules(text, tmp_path / "rules.yaml")


def test_a_mistake_in_a_list_of_rules_is_found(tmp_path: Path):
    (text,) = rule_files("Text.\n\n```yaml\n  - {from: a, to: b, op: [transpose]}\n```\n")
    with pytest.raises(RuleFileError, match="op"):
        parse_rules(text, tmp_path / "rules.yaml")
