"""The view model: the content of a command's output as strings and numbers, independent of its format.

Builders (`of_plan`, `of_diff`, `of_checkpoint`, `of_suggestion`, `of_receipt`) turn values of lower floors into a
`Report`; drawings (`text`, `json`, `html`, `github`) turn a `Report` into characters. Neither imports the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from migrate.errors import Diagnostic, ExitCode, Severity, Span

if TYPE_CHECKING:
    from migrate.report.picture import Picture

_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""What ends a line in YAML."""

TextOf = Callable[[str], str | None]
"""Returns the text of a rule file by the name that spans use, or None if it is not available."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A line of a rule file and the part that a finding refers to; `column` counts from 1."""

    line: int
    text: str
    column: int
    width: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One diagnostic with its excerpt."""

    code: str
    severity: Severity
    message: str
    span: Span | None = None
    excerpt: Excerpt | None = None
    label: str | None = None
    paths: tuple[str, ...] = ()
    help: str | None = None
    snippet: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the body: a leaf or a group of leaves, and what happens to it.

    Attributes:
      symbol: `=`, `>`, `*`, `-`, `+`, `~`, `&`; empty in a tree.
      verb: the meaning of the symbol.
      subject: the key path, or a part of a tree.
      target: the new key path, if it differs.
      detail: shapes, dtypes, counts.
      mode: `relink` or `stream`, for leaves that are moved.
      place: file and line of the rule.
    """

    symbol: str = ""
    verb: str = ""
    subject: str = ""
    target: str = ""
    detail: str = ""
    mode: str = ""
    place: str = ""


class DeferredData(Mapping[str, Any]):
    """Data for programs that are made when they are first used: reports for people need none.

    Args:
      make: makes the data.
      known: more data, which have precedence.
    """

    def __init__(self, make: Callable[[], Mapping[str, Any]], known: Mapping[str, Any] | None = None) -> None:
        self._make = make
        self._known = known or {}

    @cached_property
    def _data(self) -> Mapping[str, Any]:
        return {**self._make(), **self._known}

    def __getitem__(self, name: str) -> Any:
        return self._known[name] if name in self._known else self._data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)


@dataclass(frozen=True)
class Report:
    """The output of one command.

    Attributes:
      command: the name of the command.
      exit_code: the exit code of the process.
      title: the first line.
      facts: pairs of label and value below the title.
      legend: the meaning of the symbols, if it is not obvious.
      rows: the body.
      omitted: a sentence on lines that the body omits, and how to see them.
      summary: sentences below the body.
      hang: the columns by which their later lines are indented.
      brief: the one line of `--quiet` (default: the first sentence of the summary).
      findings: diagnostics.
      data: values for programs, of types that JSON has.
      picture: makes the trees that the HTML page draws, where the command has any.
      values: makes the lines of a table of statistics, the head first, for a section of the page without the picture.
    """

    command: str
    exit_code: ExitCode = ExitCode.OK
    title: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    legend: str = ""
    rows: tuple[Row, ...] = ()
    omitted: str = ""
    summary: tuple[str, ...] = ()
    hang: int = 2
    brief: str = ""
    findings: tuple[Finding, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    picture: Callable[[], Picture] | None = None
    values: Callable[[], Sequence[Sequence[str]]] | None = None

    @property
    def ok(self) -> bool:
        """Whether the answer is yes."""
        return self.exit_code == ExitCode.OK


def no_text(file: str) -> str | None:
    """The `TextOf` without any text: findings are drawn without excerpts."""
    del file
    return None


def findings(diagnostics: Iterable[Diagnostic], text_of: TextOf = no_text) -> tuple[Finding, ...]:
    """Returns diagnostics with their excerpts, without duplicates."""
    return tuple(
        Finding(d.code, d.severity, d.message, d.span, _excerpt(d.span, text_of), d.label, d.paths, d.help, d.snippet)
        for d in dict.fromkeys(diagnostics)
    )


def _excerpt(span: Span | None, text_of: TextOf) -> Excerpt | None:
    text = text_of(span.file) if span else None
    lines = _LINE_BREAK.split(text.rstrip("\r\n")) if text else []
    if span is None or not 0 < span.line <= len(lines):
        return None
    line = lines[span.line - 1].replace("\t", " ")
    end = span.end_column if span.end_line == span.line else len(line) + 1
    return Excerpt(span.line, line, span.column, max(end - span.column, 1))
