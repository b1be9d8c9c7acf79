"""Reads policies from `[tool.migrate]` of `pyproject.toml`, and reports every mistake with its line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrate.codes import InvalidPolicy
from migrate.errors import Code, Diagnostic, RuleFileError, Span, did_you_mean
from migrate.rules.files import RuleFile, decode, read
from migrate.rules.pattern import Pattern, PatternError
from migrate.rules.policy import Policy, PolicyEntry, may_be_lowered
from migrate.rules.policy_fields import FIELDS, LEVELS, TABLES, Level, Scope
from migrate.rules.toml_lines import span_of_error

NAME = "pyproject.toml"


def load_policy(place: str) -> tuple[Policy, list[Diagnostic]]:
    """Returns the policies of the nearest `pyproject.toml` in or above a folder, and the mistakes in them.

    Args:
      place: the folder, or a rule file in it.
    """
    start = Path(os.path.realpath(place))
    folders = [start, *start.parents] if start.is_dir() else start.parents
    root = next((folder for folder in folders if (folder / NAME).is_file()), None)
    if root is None:
        here = _current_directory()
        return Policy(root=here if here and start.is_relative_to(here) else start), []
    name = os.path.relpath(root / NAME) if _current_directory() else str(root / NAME)
    try:
        text = decode(read(RuleFile(name, root / NAME)), name)
        data = tomllib.loads(text)
    except RuleFileError as error:
        return Policy(root=root, file=name), list(error.diagnostics)
    except tomllib.TOMLDecodeError as error:
        return Policy(root=root, file=name), [_broken(error, name)]
    reader = _Reader(name, text)
    entries = tuple(reader.entries(_table(data.get("tool")).get("migrate", {})))
    return Policy(entries, root, name), reader.problems


def _current_directory() -> Path | None:
    """Returns the current directory; None if it was deleted or cannot be read."""
    try:
        return Path(os.path.realpath("."))
    except OSError:
        return None


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _broken(error: tomllib.TOMLDecodeError, name: str) -> Diagnostic:
    span = span_of_error(error, name) or Span(name, 1, 1, 1, 2)
    return InvalidPolicy.at(f"{name} is not valid TOML: {error}", span=span)


@dataclass
class _Reader:
    """Reads the tables of one file; `problems` are the mistakes so far."""

    file: str
    text: str
    problems: list[Diagnostic] = field(default_factory=list)

    def entries(self, table: Any) -> Iterator[PolicyEntry]:
        """Yields the entries in the order in which they are judged."""
        if not isinstance(table, Mapping):
            self._refuse("`[tool.migrate]` is not a table", "migrate")
            return
        for name in table:
            advice = did_you_mean(name, FIELDS) if name not in FIELDS else None
            if advice:  # others are defaults of options
                self._refuse(f"`[tool.migrate]` has no field `{name}`", name, advice)
        yield PolicyEntry(self._levels({name: table[name] for name in LEVELS if name in table}))
        for scope in TABLES:
            rows = table.get(scope, {})
            if not isinstance(rows, Mapping):
                self._refuse(f"`{scope}` is not a table of patterns", scope)
                continue
            for text, levels in rows.items():
                yield from self._row(scope, text, levels)

    def _row(self, scope: Scope, text: str, levels: Any) -> Iterator[PolicyEntry]:
        span = self._place(text)
        if not isinstance(levels, Mapping):
            advice = f'write `"{text}" = {{allow = ["CODE"]}}`'
            self._refuse(f"`{text}` is not a table with the fields {_fields()}", text, advice)
            return
        for name in (name for name in levels if name not in LEVELS):
            near = did_you_mean(name, LEVELS)
            self._refuse(f"`{text}` has no field `{name}`", name, near or f"fields: {_fields()}")
        try:
            pattern = Pattern.parse(text) if scope == "per-leaf" else None
            for error in pattern.left_side_errors() if pattern else ():
                raise error
        except PatternError as error:
            self._refuse(f"invalid pattern `{text}`: {error}", text)
            return
        yield PolicyEntry(self._levels({n: levels[n] for n in LEVELS if n in levels}), scope, text, pattern, span)

    def _levels(self, lists: Mapping[Level, Any]) -> dict[str, Level]:
        found: dict[str, Level] = {}
        for level, codes in lists.items():
            if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
                self._refuse(f"`{level}` is not a list of codes", level, f'write `{level} = ["CODE", …]`')
                continue
            for code in codes:
                if self._is_valid(code, level) and found.setdefault(code, level) != level:
                    self._refuse(f"{code} is in `{found[code]}` and in `{level}`", code, "keep it in one of the two")
        return found

    def _is_valid(self, code: str, level: Level) -> bool:
        known = Code.registry.get(code)
        if known is None:
            advice = did_you_mean(code, Code.registry) or "`migrate explain` lists all codes"
            self._refuse(f"`{code}` is not a code", code, advice)
        elif level != "error" and not may_be_lowered(known):
            self._refuse(
                f"{code} is an error that cannot be lowered: `{level}` is for lints, warnings and notes",
                code,
                f"remove it, and correct what it reports: `migrate explain {code}`",
            )
        else:
            return True
        return False

    def _refuse(self, message: str, word: str, help: str | None = None) -> None:
        self.problems.append(InvalidPolicy.at(message, span=self._place(word), help=help))

    def _place(self, word: str) -> Span:
        """Returns the location of a word in the tables of migrate; the first line of the file where it is not found."""
        spellings = re.compile(rf"(?<![\w.-]){re.escape(word)}(?![\w.-])")
        inside = False
        for number, line in enumerate(self.text.splitlines(), start=1):
            header = re.match(r"\s*\[+\s*([^\]]*)", line)
            if header:
                inside = re.match(r"tool\s*\.\s*migrate\b", header[1]) is not None or header[1].strip() == "tool"
            found = spellings.search(line) if inside else None
            if found:
                return Span(self.file, number, found.start() + 1, number, found.end() + 1)
        return Span(self.file, 1, 1, 1, 2)


def _fields() -> str:
    return ", ".join(f"`{name}`" for name in LEVELS)
