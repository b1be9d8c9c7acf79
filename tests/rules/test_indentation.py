"""A line of YAML in a wrong column is told with its column, and the edit that the help names mends the file."""

import re

import pytest

from migrate.errors import RuleFileError
from migrate.rules.loader import parse_rules

FILE = """migrate: 1
target:
  template: "m:f"
  layout: items
# a comment
rules:
  - "a -> b"

  - from: c
    to: d
    ops:
      - transpose
      - cast: bfloat16
  - drop: e
unmatched:
  source: drop
"""
LINES = FILE.splitlines()


def mended(lines, finding):
    """The file after the edit of the help."""
    count, line = int(re.search(r"(\d+) space", finding.help)[1]), lines[finding.span.line - 1]
    edited = " " * count + line if finding.help.startswith("add") else line[count:]
    return [*lines[: finding.span.line - 1], edited, *lines[finding.span.line :]]


@pytest.mark.parametrize("shift", [-1, 1])
@pytest.mark.parametrize("number", [number for number, line in enumerate(LINES) if line.strip() and "#" not in line])
def test_a_line_one_column_off_is_mended_by_its_help(number, shift):
    line = LINES[number]
    if shift < 0 and not line.startswith(" "):
        return
    wrong = [*LINES[:number], line[1:] if shift < 0 else f" {line}", *LINES[number + 1 :]]
    for _ in range(len(LINES)):
        try:
            rules = parse_rules("\n".join(wrong), "rules.yaml")
        except RuleFileError as error:
            finding = error.diagnostics[0]
            if finding.code != "M001" or "column" not in finding.message:
                return
            assert (
                finding.span.column
                == len(wrong[finding.span.line - 1]) - len(wrong[finding.span.line - 1].lstrip()) + 1
            )
            wrong = mended(wrong, finding)
        else:
            assert 3 == len(rules.rules)
            return
    pytest.fail("the help leads in a circle")


@pytest.mark.parametrize(
    ("lines", "line", "message", "advice"),
    [
        (["rules:", '  - "a -> b"', ' - "c -> d"'], 4, "column 2, and the items above it in column 3", "add 1 space"),
        (
            ["rules:", '  - "a -> b"', '   - "c -> d"'],
            4,
            "column 4, and the items above it in column 3",
            "remove 1 space",
        ),
        (
            ["rules:", "  - from: a", "   to: b"],
            4,
            "this key begins in column 4, and the keys above it in column 5",
            "add 1",
        ),
        (["rules:", "  - from: a", "     to: b"], 4, "column 6, and the keys above it in column 5", "remove 1 space"),
        (["target:", "  template: m:f", " layout: items"], 4, "column 2, and the keys above it in column 3", "add 1"),
        ([" rules: []"], 2, "column 2, and the keys above it in column 1", "remove 1 space"),
    ],
)
def test_the_message_names_both_columns(lines, line, message, advice):
    with pytest.raises(RuleFileError) as caught:
        parse_rules("\n".join(["migrate: 1", *lines, ""]), "rules.yaml")
    finding = caught.value.diagnostics[0]
    assert ("M001", line) == (finding.code, finding.span.line)
    assert message in finding.message
    assert advice in finding.help
