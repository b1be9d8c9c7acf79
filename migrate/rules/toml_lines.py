"""The lines of keys in a TOML file, which `tomllib` does not record."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from migrate.errors import Span

_MOST = 50
"""The most lines of one value."""

_AT = re.compile(r"\(at line (\d+), column (\d+)\)")


def span_of(text: str, file: str, keys: Sequence[str]) -> Span | None:
    """Returns the location of a key: in the first line that mentions it and with which the file begins to have it.

    Args:
      text: the content of the file, which is valid.
      file: the name of the file.
      keys: the names of the tables around the key, and the key.
    """
    lines = text.splitlines(keepends=True)
    for at, line in enumerate(lines):
        column = line.find(keys[-1])
        if column >= 0 and _begins(lines, at, keys):
            return Span(file, at + 1, column + 1, at + 1, column + 1 + len(keys[-1]))
    return None


def _begins(lines: Sequence[str], at: int, keys: Sequence[str]) -> bool:
    """Whether the file has the key once the value that begins in a line is complete."""
    for end in range(at + 1, min(at + _MOST, len(lines)) + 1):
        try:
            table: Any = tomllib.loads("".join(lines[:end]))
        except tomllib.TOMLDecodeError:  # the value continues
            continue
        for key in keys:
            if not isinstance(table, Mapping) or key not in table:
                return False
            table = table[key]
        return True
    return False


def span_of_error(error: ValueError, file: str) -> Span | None:
    """Returns the location of a syntax error, which only its message has."""
    found = _AT.search(str(error))
    if found is None:
        return None
    line, column = int(found[1]), int(found[2])
    return Span(file, line, column, line, column + 1)
