"""A report as text: title, facts, body and summary in the columns of a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from migrate.report.diagnostics import Paint, plain
from migrate.report.layout import WIDE, Layout, longest
from migrate.report.quoting import quote_report
from migrate.report.view import Report, Row

_WIDEST_PATH = 72
_WIDEST_PAIR = 60
_STYLES = {"-": "gone", "+": "new", "~": "changed", "*": "changed", "&": "faint", "=": "faint"}


def draw(report: Report, paint: Paint = plain, layout: Layout = WIDE) -> str:
    """Draws title, facts, body and summary; findings are drawn separately, as they may go to another stream."""
    report = quote_report(report)
    blocks = [
        [paint(line, "strong") for line in layout.wrap(report.title)] if report.title else [],
        _facts(report.facts, paint, layout),
        [paint(line, "faint") for line in layout.wrap(report.legend)] if report.legend else [],
        _rows(report.rows, paint, layout),
        [paint(line, "faint") for line in layout.wrap(f"  {report.omitted}")] if report.omitted else [],
        [line for sentence in report.summary for line in layout.wrap(sentence, report.hang)],
    ]
    return "".join(f"{line.rstrip()}\n" for block in blocks for line in block)


def draw_briefly(report: Report) -> str:
    """Draws the one line of a report that answers the question of the command; an empty string if it has none."""
    report = quote_report(report)
    line = report.brief or next(iter(report.summary), report.title)
    return f"{line}\n" if line else ""


def _facts(facts: Sequence[tuple[str, str]], paint: Paint, layout: Layout) -> list[str]:
    label_width = longest(label for label, _ in facts)
    lines = []
    for label, value in facts:
        head = f"  {paint(label.ljust(label_width), 'faint')}  "
        beside = Layout(layout.width - label_width - 4, layout.continued)
        words = beside.wrap(value, hang=0)
        if longest(words) > beside.width:
            lines += [head.rstrip(), *Layout(layout.width - 4, layout.continued).wrap(f"    {value}", hang=0)]
        else:
            lines += [head + words[0], *(" " * (label_width + 4) + word for word in words[1:])]
    return lines


def _rows(rows: Sequence[Row], paint: Paint, layout: Layout) -> list[str]:
    verb, mode, place = (longest(getattr(row, name) for row in rows) for name in ("verb", "mode", "place"))
    room = layout.width - longest(_lead(row, verb) for row in rows)
    detail = longest(row.detail for row in rows if row.mode or row.place)
    tail = max(longest(row.detail for row in rows), detail + 4 + mode + place if detail else 0)
    most = min(max(room - 2 - tail, room // 2), _WIDEST_PATH)
    pair = min(_WIDEST_PAIR, most)
    path = min(longest(_cells(row, pair)[-1] for row in rows), most)
    detail = min(detail, max(room - path - 6 - mode - place, 0))
    return [line for row in rows for line in _row(row, (verb, path, detail, mode), _cells(row, pair), paint, layout)]


def _lead(row: Row, verb: int) -> str:
    return f"  {row.symbol}  {row.verb.ljust(verb)}  " if row.verb else f"{row.symbol} " if row.symbol else ""


def _row(row: Row, widths: tuple[int, int, int, int], cells: Sequence[str], paint: Paint, layout: Layout) -> list[str]:
    verb, path, detail, mode = widths
    style = _STYLES.get(row.symbol, "")
    lead = _lead(row, verb)
    *above, last = cells
    tail = f"{row.detail.ljust(detail)}  {row.mode.ljust(mode)}  {row.place}".rstrip()
    texts = [line for cell in above for line in Layout(layout.width - len(lead)).break_path(cell)]
    texts += layout.columns(last, tail, path, len(lead))
    leads = [paint(lead, style) if style else lead, *[" " * len(lead)] * (len(texts) - 1)]
    return [start + _with_faint_place(text, row.place, paint) for start, text in zip(leads, texts, strict=True)]


def _with_faint_place(line: str, place: str, paint: Paint) -> str:
    return f"{line.removesuffix(place)}{paint(place, 'faint')}" if place and line.endswith(place) else line


def _cells(row: Row, widest: int) -> list[str]:
    """Returns the key paths of a row, on one line if they fit, else on two."""
    if not row.target:
        return [row.subject]
    joined = f"{row.subject} → {row.target}"
    return [joined] if len(joined) <= widest else [row.subject, f"→ {row.target}"]
