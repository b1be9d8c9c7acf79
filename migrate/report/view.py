"""The view model: what a command has to say, as strings and numbers, before anything decides how it looks.

Builders (`of_plan`, `of_diff`, `of_checkpoint`, `of_receipt`) turn values of the floors below into a `Report`; drawings
(`text`, `json`, `html`, `github`) turn a `Report` into characters. Neither knows the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from migrate.errors import Diagnostic, ExitCode, Severity, Span

TextOf = Callable[[str], str | None]
"""The text of a rule file by the name that spans use, or None when it cannot be had."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A line of a rule file and the part of it that a finding is about; `column` counts from 1."""

    line: int
    text: str
    column: int
    width: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One diagnostic, with the line of the file that it is about."""

    code: str
    severity: Severity
    message: str
    span: Span | None = None
    excerpt: Excerpt | None = None
    label: str | None = None
    paths: tuple[str, ...] = ()
    help: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the answer: a leaf or a group of leaves, and what is said of it.

    Attributes:
      symbol: `=`, `>`, `*`, `-`, `+`, `~`, `&`; empty in a tree.
      verb: the word for the symbol.
      subject: the key path, or a part of a tree.
      target: where it goes, when it goes elsewhere.
      detail: shapes, dtypes, counts.
      mode: `relink` or `stream`, for what moves.
      place: file and line of the rule.
    """

    symbol: str = ""
    verb: str = ""
    subject: str = ""
    target: str = ""
    detail: str = ""
    mode: str = ""
    place: str = ""


@dataclass(frozen=True)
class Report:
    """What one command has to say.

    Attributes:
      command: its name.
      exit_code: what the process will say.
      title: the first line.
      facts: label and value pairs below it.
      legend: what the symbols mean, where that needs saying.
      rows: the body.
      omitted: what was left out of the body, and how to see it.
      summary: sentences below the body.
      findings: diagnostics.
      data: what only machines read: plain values that JSON can hold.
    """

    command: str
    exit_code: ExitCode = ExitCode.OK
    title: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    legend: str = ""
    rows: tuple[Row, ...] = ()
    omitted: str = ""
    summary: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the answer is yes."""
        return self.exit_code == ExitCode.OK


def no_text(file: str) -> str | None:
    """For those who have no rule file at hand: findings are drawn without excerpts."""
    del file
    return None


def findings(diagnostics: Iterable[Diagnostic], text_of: TextOf = no_text) -> tuple[Finding, ...]:
    """Diagnostics with their excerpts; each only once."""
    return tuple(
        Finding(d.code, d.severity, d.message, d.span, _excerpt(d.span, text_of), d.label, d.paths, d.help)
        for d in dict.fromkeys(diagnostics)
    )


def _excerpt(span: Span | None, text_of: TextOf) -> Excerpt | None:
    text = text_of(span.file) if span else None
    lines = text.splitlines() if text else []
    if span is None or not 0 < span.line <= len(lines):
        return None
    line = lines[span.line - 1].replace("\t", " ")
    end = span.end_column if span.end_line == span.line else len(line) + 1
    return Excerpt(span.line, line, span.column, max(end - span.column, 1))
