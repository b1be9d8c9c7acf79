"""A report as one self-contained HTML file, to attach to a review or store beside a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from migrate.printable import printable
from migrate.report.diagnostics import draw_findings
from migrate.report.picture_page import draw_picture, fragment_style, policy, style
from migrate.report.view import Report, Row

_CLASSES = {"-": "gone", "+": "new", "~": "changed", "*": "changed", "&": "faint", "=": "faint"}
_OPTIONS = re.compile(r" \(-v[^)]*\)|: --depth .*")


def draw(*reports: Report) -> str:
    """Draws one page with a section for each report; the first one that has a picture shows it."""
    title = reports[0].title or f"migrate {reports[0].command}"
    pictured = next((number for number, report in enumerate(reports) if report.picture), None)
    body = "".join(_section(report, draws=number == pictured) for number, report in enumerate(reports))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(has_picture=pictured is not None)}">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{_escape(title)}</title>\n'
        f"<style>{style()}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def draw_fragment(report: Report) -> str:
    """Draws a report without a page around it, for the output of a notebook's cell: no script, and a style of its own.

    Rows beyond those that a terminal shows are left out, and so is advice about options of the command line.
    """
    parts = [
        _tag("strong", report.title or report.command),
        _table(([label], [value]) for label, value in report.facts),
        *_sentences([_without_options(sentence) for sentence in report.summary]),
        _tag("pre", draw_findings(report.findings)),
        _tag("p", report.legend, "faint") + _rows(report.rows) + _tag("p", _without_options(report.omitted), "faint"),
        _receipt(report.data.get("receipt")),
    ]
    return f'<div class="migrate-report">\n<style>\n{fragment_style()}</style>\n{"".join(parts)}</div>\n'


def _without_options(sentence: str) -> str:
    return _OPTIONS.sub("", sentence)


def _section(report: Report, *, draws: bool) -> str:
    rows = _tag("p", report.legend, "faint") + _rows(report.rows) + _tag("p", report.omitted, "faint")
    parts = [
        _tag("h1", report.title or report.command),
        _table(([label], [value]) for label, value in report.facts),
        *_sentences(report.summary),
        _tag("pre", draw_findings(report.findings, verbose=True)),
        draw_picture(report.picture()) if draws and report.picture else "",
        f"<details><summary>As a table</summary>\n{rows}</details>\n" if draws else rows,
        "" if draws else _details("Every task", report.data.get("tasks")),
        "" if draws else _details("Every leaf", report.data.get("leaves")),
        _statistics(report.values()) if report.values and not draws else "",
        _receipt(report.data.get("receipt")),
    ]
    return f"<section>\n{''.join(parts)}</section>\n"


def _sentences(summary: Sequence[str]) -> Iterable[str]:
    """Yields paragraphs; indented lines after a sentence are a list that the reader can open."""
    number = 0
    while number < len(summary):
        end = number + 1
        while end < len(summary) and summary[end].startswith(" "):
            end += 1
        below = "\n".join(summary[number + 1 : end])
        sentence = _escape(summary[number])
        yield (
            f"<details><summary>{sentence}</summary>{_tag('pre', below)}</details>\n"
            if below
            else f"<p>{sentence}</p>\n"
        )
        number = end


def _receipt(receipt: Mapping[str, Any] | None) -> str:
    """Returns the receipt as a collapsed table; empty before a run."""
    if not receipt:
        return ""
    table = _table(((name,), (_value(value),)) for name, value in receipt.items() if value not in (None, "", [], {}))
    return f"<details><summary>Receipt</summary>\n{table}</details>\n"


def _escape(text: str) -> str:
    """Returns text for a page: HTML has no control characters, and bidirectional ones would reorder what it shows."""
    return escape("\n".join(map(printable, text.split("\n"))))


def _tag(name: str, text: str, style: str = "") -> str:
    """Returns one element with escaped text; an empty string without text."""
    return f"{_open(name, style)}{_escape(text)}</{name}>\n" if text else ""


def _open(name: str, style: str) -> str:
    return f'<{name} class="{style}">' if style else f"<{name}>"


def _cell(text: str, style: str = "") -> str:
    return f"{_open('td', style)}{_escape(text)}</td>"


def _table(lines: Iterable[tuple[Iterable[str], Iterable[str]]]) -> str:
    """Returns a table whose lines have faint cells first, then cells in the typeface of key paths."""
    body = "".join(
        f"<tr>{''.join(_cell(t, 'faint') for t in faint)}{''.join(_cell(t, 'path') for t in paths)}</tr>\n"
        for faint, paths in lines
    )
    return f"<table>\n{body}</table>\n" if body else ""


def _rows(rows: Iterable[Row]) -> str:
    body = "".join(f"<tr>{''.join(_row_cells(row))}</tr>\n" for row in rows)
    return f"<table>\n{body}</table>\n" if body else ""


def _row_cells(row: Row) -> Iterable[str]:
    yield _cell(f"{row.symbol} {row.verb}".strip(), _CLASSES.get(row.symbol, ""))
    yield _cell(f"{row.subject}\n→ {row.target}" if row.target else row.subject, "path")
    yield _cell(row.detail, "path")
    yield _cell(row.mode, "faint")
    yield _cell(row.place, "faint")


def _details(title: str, entries: Sequence[Mapping[str, Any]] | None) -> str:
    """Returns a collapsed table with a line for each entry and a column for each field."""
    if not entries:
        return ""
    names = list(entries[0])
    table = _table([(names, ()), *(((), map(_value, entry.values())) for entry in entries)])
    return f"<details><summary>{_escape(title)} ({len(entries):,})</summary>\n{table}</details>\n"


def _statistics(lines: Sequence[Sequence[str]]) -> str:
    """Returns the statistics of values as a collapsed table; empty without a line below the head."""
    table = _table([(lines[0], ()), *(((), line) for line in lines[1:])]) if len(lines) > 1 else ""
    return f"<details><summary>Values before and after</summary>\n{table}</details>\n" if table else ""


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_value(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_value(item)}" for name, item in value.items())
    return "" if value is None else str(value)
