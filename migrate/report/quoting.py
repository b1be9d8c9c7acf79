"""Quotes a report for a terminal: nothing in it can move the cursor, start a line or command a GitHub workflow.

The drawings of text and of GitHub call this module on everything that they draw, so builders of reports need not.
"""

from __future__ import annotations

import re
from dataclasses import replace

from migrate.printable import printable
from migrate.report.view import Excerpt, Finding, Report, Row

_COMMAND = re.compile(r"^(\s*):(?=:)")


def quote(text: str) -> str:
    """Returns a text on one line, in visible characters, that a GitHub runner does not take for a workflow command."""
    text = printable(text)
    if "::" in text:
        text = _COMMAND.sub(r"\1\\x3a", text)
    return text


def quote_report(report: Report) -> Report:
    """Returns a report whose texts are quoted; `data`, which only JSON and HTML show, stays as it is."""
    return replace(
        report,
        title=quote(report.title),
        facts=tuple((quote(label), quote(value)) for label, value in report.facts),
        legend=quote(report.legend),
        rows=tuple(map(_quote_row, report.rows)),
        omitted=quote(report.omitted),
        summary=tuple(map(quote, report.summary)),
        brief=quote(report.brief),
        findings=tuple(map(quote_finding, report.findings)),
    )


def _quote_row(row: Row) -> Row:
    return Row(
        symbol=quote(row.symbol),
        verb=quote(row.verb),
        subject=quote(row.subject),
        target=quote(row.target),
        detail=quote(row.detail),
        mode=quote(row.mode),
        place=quote(row.place),
    )


def quote_finding(finding: Finding) -> Finding:
    """Returns a finding whose texts are quoted, with its caret below the same characters."""
    return replace(
        finding,
        message=quote(finding.message),
        span=replace(finding.span, file=quote(finding.span.file)) if finding.span else None,
        excerpt=_quote_excerpt(finding.excerpt) if finding.excerpt else None,
        label=quote(finding.label) if finding.label else finding.label,
        paths=tuple(map(quote, finding.paths)),
        help=quote(finding.help) if finding.help else finding.help,
        snippet=tuple(map(quote, finding.snippet)),
    )


def _quote_excerpt(excerpt: Excerpt) -> Excerpt:
    start = excerpt.column - 1
    before, marked = excerpt.text[:start], excerpt.text[start : start + excerpt.width]
    wider = len(quote(marked)) - len(marked)
    return Excerpt(excerpt.line, quote(excerpt.text), len(quote(before)) + 1, excerpt.width + wider)
