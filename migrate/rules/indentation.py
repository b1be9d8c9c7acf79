"""Finds the line of a YAML block that begins in another column than the lines that it belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ITEM = re.compile(r"( *)-(?:\s|$)")
_KEY = re.compile(r"( *)([A-Za-z_]\w*):(?:\s|$)")
_ITEM_KEY = re.compile(r"( *- +)[A-Za-z_]\w*:(?:\s|$)")


@dataclass(frozen=True, slots=True)
class MisplacedLine:
    """A line in a wrong column.

    Attributes:
      column: where it begins, counted from 1.
      message: the two columns, as a clause.
      help: the edit.
    """

    column: int
    message: str
    help: str


def misplaced_line(text: str, number: int) -> MisplacedLine | None:
    """Returns the mistake in the indentation of a line at which a parser stopped, or None.

    Args:
      text: the whole file.
      number: the line, counted from 0.
    """
    lines = re.split("\r\n|[\r\n\x85\u2028\u2029]", text)
    if not number < len(lines):
        return None
    line = lines[number]
    above = [one for one in lines[:number] if one.strip() and not one.lstrip().startswith("#")]
    if _ITEM.match(line):
        return _beside(line, "this item of a list", [m for one in above if (m := _ITEM.match(one))], "items")
    if _KEY.match(line):
        return _beside(line, "this key", [m for one in above if (m := _ITEM_KEY.match(one) or _KEY.match(one))], "keys")
    return None


def _beside(line: str, what: str, others: list[re.Match[str]], plural: str) -> MisplacedLine | None:
    """Compares the column of a line with the nearest of the columns of the lines above, the last line first."""
    column = len(line) - len(line.lstrip(" ")) + 1
    columns = [len(match[1]) + 1 for match in reversed(others)]
    if not columns or column in columns:
        return None
    meant = min(columns, key=lambda one: abs(one - column))
    count = abs(meant - column)
    spaces = "1 space" if count == 1 else f"{count} spaces"
    change = f"add {spaces} before it" if meant > column else f"remove {spaces} before it"
    message = f"{what} begins in column {column}, and the {plural} above it in column {meant}"
    return MisplacedLine(column, message, change)
