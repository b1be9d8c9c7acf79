"""A report as one self-contained HTML file, to attach to a review or store beside a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from migrate.printable import printable
from migrate.report.diagnostics import draw_findings
from migrate.report.view import Report, Row

_STYLE = """
:root { color-scheme: light dark; --faint: #777; --gone: #b3261e; --new: #1a7f37; --changed: #8a6100; }
@media (prefers-color-scheme: dark) { :root { --faint: #999; --gone: #ff8a80; --new: #7ee787; --changed: #e3b341; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
td { padding: .2rem .6rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #8883; }
td.path, pre { font-family: ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.faint { color: var(--faint); } .gone { color: var(--gone); } .new { color: var(--new); } .changed { color: var(--changed); }
pre { background: #8881; padding: 1rem; border-radius: .4rem; }
"""
_CLASSES = {"-": "gone", "+": "new", "~": "changed", "*": "changed", "&": "faint", "=": "faint"}


def draw(*reports: Report) -> str:
    """Draws one page with a section for each report."""
    title = reports[0].title or f"migrate {reports[0].command}"
    body = "".join(_section(report) for report in reports)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{_escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _section(report: Report) -> str:
    parts = [
        _tag("h1", report.title or report.command),
        _table(([label], [value]) for label, value in report.facts),
        _tag("pre", draw_findings(report.findings, verbose=True)),
        _tag("p", report.legend, "faint"),
        _rows(report.rows),
        _tag("p", report.omitted, "faint"),
        *(_tag("p", sentence) for sentence in report.summary),
        _details("Every task", report.data.get("tasks")),
        _details("Every leaf", report.data.get("leaves")),
    ]
    return f"<section>\n{''.join(parts)}</section>\n"


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


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_value(item) for item in value)
    return "" if value is None else str(value)
