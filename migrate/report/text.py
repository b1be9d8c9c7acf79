"""A report as text. The width does not depend on the terminal, so that piped output equals printed output."""

from __future__ import annotations

from collections.abc import Sequence

from migrate.report.diagnostics import Paint, plain
from migrate.report.quoting import quote_report
from migrate.report.view import Report, Row

_WIDEST_PATH = 72
_WIDEST_PAIR = 60
_STYLES = {"-": "gone", "+": "new", "~": "changed", "*": "changed", "&": "faint", "=": "faint"}


def draw(report: Report, paint: Paint = plain) -> str:
    """Draws title, facts, body and summary; findings are drawn separately, as they may go to another stream."""
    report = quote_report(report)
    blocks = [
        [paint(report.title, "strong")] if report.title else [],
        _facts(report.facts, paint),
        [paint(report.legend, "faint")] if report.legend else [],
        _rows(report.rows, paint),
        [f"  {paint(report.omitted, 'faint')}"] if report.omitted else [],
        list(report.summary),
    ]
    return "".join(f"{line.rstrip()}\n" for block in blocks for line in block)


def _facts(facts: Sequence[tuple[str, str]], paint: Paint) -> list[str]:
    width = max((len(label) for label, _ in facts), default=0)
    return [f"  {paint(label.ljust(width), 'faint')}  {value}" for label, value in facts]


def _rows(rows: Sequence[Row], paint: Paint) -> list[str]:
    verb = max((len(row.verb) for row in rows), default=0)
    path = min(max((len(_cells(row)[-1]) for row in rows), default=0), _WIDEST_PATH)
    detail = max((len(row.detail) for row in rows if row.mode or row.place), default=0)
    mode = max((len(row.mode) for row in rows), default=0)
    return [line for row in rows for line in _row(row, (verb, path, detail, mode), paint)]


def _row(row: Row, widths: tuple[int, int, int, int], paint: Paint) -> list[str]:
    verb, path, detail, mode = widths
    style = _STYLES.get(row.symbol, "")
    lead = f"  {row.symbol}  {row.verb.ljust(verb)}  " if row.verb else f"{row.symbol} " if row.symbol else ""
    *above, last = _cells(row)
    tail = f"{row.detail.ljust(detail)}  {row.mode.ljust(mode)}  {paint(row.place, 'faint')}".rstrip()
    leads = [paint(lead, style) if style else lead, *[" " * len(lead)] * len(above)]
    texts = [*above, last.ljust(path) + (f"  {tail}" if tail else "")]
    return [start + text for start, text in zip(leads, texts, strict=True)]


def _cells(row: Row) -> list[str]:
    """Returns the key paths of a row, on one line if they fit, else on two."""
    if not row.target:
        return [row.subject]
    joined = f"{row.subject} → {row.target}"
    return [joined] if len(joined) <= _WIDEST_PAIR else [row.subject, f"→ {row.target}"]
