"""A report as one HTML file that needs nothing else: to attach to a review or keep beside a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from migrate.report.diagnostics import draw_findings
from migrate.report.view import Report, Row

_STYLE = """
:root { color-scheme: light dark; --faint: #777; --gone: #b3261e; --new: #1a7f37; --changed: #8a6100; }
@media (prefers-color-scheme: dark) { :root { --faint: #999; --gone: #ff8a80; --new: #7ee787; --changed: #e3b341; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: .2rem .6rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #8883; }
td.path, pre { font-family: ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.faint, th { color: var(--faint); font-weight: normal; } .gone { color: var(--gone); } .new { color: var(--new); } .changed { color: var(--changed); }
pre { background: #8881; padding: 1rem; border-radius: .4rem; }
"""
_CLASSES = {"-": "gone", "+": "new", "~": "changed", "*": "changed", "&": "faint", "=": "faint"}


def draw(*reports: Report) -> str:
    """One page with a section for each report."""
    title = reports[0].title or f"migrate {reports[0].command}"
    body = "".join(_section(report) for report in reports)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _section(report: Report) -> str:
    parts = [
        f"<h1>{escape(report.title or report.command)}</h1>\n",
        _facts(report.facts),
        f"<pre>{escape(draw_findings(report.findings, verbose=True))}</pre>\n" if report.findings else "",
        f'<p class="faint">{escape(report.legend)}</p>\n' if report.legend else "",
        _rows(report.rows),
        f'<p class="faint">{escape(report.omitted)}</p>\n' if report.omitted else "",
        *(f"<p>{escape(sentence)}</p>\n" for sentence in report.summary),
        _details("Every task", report.data.get("tasks")),
        _details("Every leaf", report.data.get("leaves")),
    ]
    return f"<section>\n{''.join(parts)}</section>\n"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    lines = [f'<tr><th>{escape(label)}</th><td class="path">{escape(value)}</td></tr>\n' for label, value in facts]
    return f"<table>\n{''.join(lines)}</table>\n" if lines else ""


def _rows(rows: Iterable[Row]) -> str:
    lines = [
        f'<tr><td class="{_CLASSES.get(row.symbol, "")}">{escape(f"{row.symbol} {row.verb}".strip())}</td>'
        f'<td class="path">{escape(row.subject)}{f"<br>→ {escape(row.target)}" if row.target else ""}</td>'
        f'<td class="path">{escape(row.detail)}</td><td class="faint">{escape(row.mode)}</td><td class="faint">{escape(row.place)}</td></tr>\n'
        for row in rows
    ]
    return f"<table>\n{''.join(lines)}</table>\n" if lines else ""


def _details(title: str, entries: Iterable[Mapping[str, Any]] | None) -> str:
    """A folded table with a line for each entry and a column for each of its fields."""
    entries = list(entries or ())
    if not entries:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in entries[0])
    lines = [f"<tr>{''.join(f'<td class="path">{escape(_value(v))}</td>' for v in e.values())}</tr>\n" for e in entries]
    return f"<details><summary>{escape(title)} ({len(entries):,})</summary>\n<table>\n<tr>{head}</tr>\n{''.join(lines)}</table>\n</details>\n"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_value(item) for item in value)
    return "" if value is None else str(value)
