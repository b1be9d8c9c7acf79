import re
from pathlib import Path

from migrate.rules.files import bundled_names

PAGE = Path(__file__).parents[2] / "docs/bundled.md"


def test_the_page_names_every_bundled_file_and_no_other():
    rows = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert bundled_names() == sorted(name for row in rows for name in re.findall(r"`([^`]+)`", row))
