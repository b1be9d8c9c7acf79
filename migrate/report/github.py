"""A report for a GitHub workflow: an annotation for each finding, then Markdown for the job summary."""

from __future__ import annotations

from collections.abc import Sequence

from migrate.report.quoting import quote_report
from migrate.report.view import Finding, Report, Row

_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}


def draw(report: Report) -> str:
    """Draws annotations (`::error file=…::…`), then Markdown."""
    report = quote_report(report)
    blocks = [[_annotation(finding) for finding in report.findings], _markdown(report)]
    return "".join(f"{line}\n" for block in blocks for line in block)


def _annotation(finding: Finding) -> str:
    span = finding.span
    place = (
        {
            "file": span.file,
            "line": span.line,
            "endLine": span.end_line,
            "col": span.column,
            "endColumn": span.end_column,
        }
        if span
        else {}
    )
    fields = ",".join(f"{name}={_property(str(value))}" for name, value in {**place, "title": finding.code}.items())
    parts = [
        finding.message,
        *finding.paths[:20],
        *([f"help: {finding.help}"] if finding.help else []),
        *finding.snippet,
    ]
    return f"::{_LEVELS[finding.severity]} {fields}::{_message(chr(10).join(parts))}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def _markdown(report: Report) -> list[str]:
    lines = [f"### {report.title}", ""] if report.title else []
    lines += [f"- **{label}**: {value}" for label, value in report.facts]
    lines += ["", *_table(report.rows)] if report.rows else []
    lines += ["", report.omitted] if report.omitted else []
    return [*lines, *(text for sentence in report.summary for text in ("", sentence))]


def _table(rows: Sequence[Row]) -> list[str]:
    columns = [
        (name, cells)
        for name, cells in (
            ("", [_code(f"{row.symbol} {row.verb}".strip()) for row in rows]),
            ("leaves", [_code(row.subject) for row in rows]),
            ("to", [_code(row.target) for row in rows]),
            ("detail", [_cell(row.detail) for row in rows]),
            ("mode", [row.mode for row in rows]),
            ("rule", [_cell(row.place) for row in rows]),
        )
        if any(cells)
    ]
    head = [f"| {' | '.join(name for name, _ in columns)} |", f"|{' --- |' * len(columns)}"]
    return head + [f"| {' | '.join(cells)} |" for cells in zip(*(cells for _, cells in columns), strict=True)]


def _code(text: str) -> str:
    indent = (len(text) - len(text.lstrip())) // 2
    return "&nbsp;" * 4 * indent + f"`{_cell(text.strip())}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
