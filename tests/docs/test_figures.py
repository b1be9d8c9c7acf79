"""Figures that the pages of explanation cite from the benchmarks are those of the benchmark pages."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

DOCS = ROOT / "docs"
BENCHMARKS = [*DOCS.glob("benchmarks/*.md"), DOCS / "scale.md"]
PAGES = sorted(DOCS.glob("explanation/*.md"))
_FIGURE = re.compile(r"(?<![\d.,])\d[\d,]*(?:\.\d+)?(?= (?:s|ms|kB|MB|GB|CPU s)\b)")


def cited(text: str) -> set[str]:
    """The figures with a unit of time or bytes in the prose of a page; blocks of commands and files are left out."""
    return set(_FIGURE.findall(re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)))


def measured() -> set[str]:
    """All numbers of the benchmark pages."""
    texts = "\n".join(page.read_text(encoding="utf-8") for page in BENCHMARKS)
    return set(re.findall(r"(?<![\d.,])\d[\d,]*(?:\.\d+)?", texts))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_cites_figures_as_the_benchmarks_print_them(page: Path):
    assert set() == cited(page.read_text(encoding="utf-8")) - measured()


def test_figures_of_prose_are_found_and_those_of_blocks_are_not():
    text = "A rename takes 0.66 s for 4 GB.\n\n```console\n$ sleep 2 s\n3 MB\n```\n\nOrbax: 18.1 s, 1,024 kB.\n"
    assert {"0.66", "4", "18.1", "1,024"} == cited(text)
