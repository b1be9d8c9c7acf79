"""Every complete rule file in the documentation loads."""

import re
from pathlib import Path

import pytest

from migrate.rules.loader import parse_rules

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
SNIPPETS = [
    (f"{page.name}:{page.read_text()[: found.start()].count(chr(10)) + 1}", found[1])
    for page in PAGES
    for found in re.finditer(r"^```ya?ml\n(.*?)^```", page.read_text(), re.M | re.S)
]
WHOLE = [snippet for snippet in SNIPPETS if re.search(r"^migrate: 1", snippet[1], re.M)]


@pytest.mark.parametrize(("place", "text"), WHOLE, ids=[place for place, _ in WHOLE])
def test_a_whole_rule_file_of_the_documentation_loads(place, text):
    parse_rules(text, place)
