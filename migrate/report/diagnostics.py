"""Diagnostics in the style of compilers: message, place, the line with a caret, and the next step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from migrate.errors import Severity
from migrate.report.amounts import plural
from migrate.report.collapse import collapse_paths
from migrate.report.layout import UNBOUNDED, Layout
from migrate.report.quoting import quote, quote_finding
from migrate.report.view import Excerpt, Finding
from migrate.tree import parse_path

Paint = Callable[[str, str], str]
"""`paint(text, style)`; styles are `error`, `warning`, `note`, `good`, `new`, `gone`, `changed`, `strong`, `faint`."""

MOST_SINGLE = 4
"""The most key paths that a finding lists individually without `-v`; more are merged into fewer lines."""

MOST_PATHS = 20
"""The most lines of key paths in a finding without `-v`."""

MOST_ALIKE = 20
"""The most findings of one code without `-v`."""


def plain(text: str, style: str) -> str:
    """The paint without color."""
    del style
    return text


def draw_findings(
    findings: Sequence[Finding], paint: Paint = plain, *, verbose: bool = False, layout: Layout = UNBOUNDED
) -> str:
    """Draws all findings and a last line that counts them; an empty string if there are none."""
    if not findings:
        return ""
    shown, hidden = (list(findings), []) if verbose else _crop(findings)
    blocks = [_draw(finding, paint, layout, verbose=verbose) for finding in shown]
    blocks += [f"… {count} more {code} (-v lists them)\n" for code, count in Counter(f.code for f in hidden).items()]
    closing = _closing(findings)
    lines = "\n".join(layout.wrap(closing))
    return "\n".join([*blocks, f"{lines}\n"] if closing else blocks)


def _crop(findings: Iterable[Finding]) -> tuple[list[Finding], list[Finding]]:
    shown: list[Finding] = []
    hidden: list[Finding] = []
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.code] += 1
        (shown if seen[finding.code] <= MOST_ALIKE else hidden).append(finding)
    return shown, hidden


def _draw(finding: Finding, paint: Paint, layout: Layout, *, verbose: bool) -> str:
    gutter = len(str(finding.excerpt.line)) if finding.excerpt else 1
    edge = paint(f"{' ' * gutter} |", "faint")
    listed = _paths([path for path in finding.paths if f"`{path}`" not in finding.message], verbose=verbose)
    finding = quote_finding(finding)
    head = f"{finding.severity}[{finding.code}]"
    message = layout.wrap(finding.message, first=len(head) + 2)
    lines = [f"{paint(head, finding.severity)}: {paint(message[0], 'strong')}"]
    lines += [paint(line, "strong") for line in message[1:]]
    if finding.span is not None:
        lines.append(f"{paint(' ' * gutter + '-->', 'faint')} {finding.span}")
    lines += _excerpt_lines(finding, edge, paint, layout)
    lines += [edge] if listed and not finding.excerpt else []
    room = Layout(layout.width - gutter - 5)
    lines += [f"{edge}   {line}" for path in listed for line in room.break_path(quote(path))]
    if len(lines) > 1:
        lines.append(edge)
    help_lines = layout.wrap(
        f"help: {finding.help or f'`migrate explain {finding.code}`'}", hang=gutter + 3, first=gutter + 3
    )
    lines.append(f"{' ' * gutter} {paint('=', 'faint')} {help_lines[0]}")
    lines += help_lines[1:]
    lines += [f"{' ' * gutter}     {line}" for line in finding.snippet]
    return "\n".join(lines) + "\n"


def _excerpt_lines(finding: Finding, edge: str, paint: Paint, layout: Layout) -> list[str]:
    if finding.excerpt is None:
        return []
    gutter = len(str(finding.excerpt.line)) + 3
    excerpt = _cropped(finding.excerpt, layout.width - gutter)
    before, caret, label = excerpt.column - 1, "^" * excerpt.width, finding.label or ""
    beside = gutter + before + len(caret) + 1 + len(label) <= layout.width
    below = [] if beside or not label else Layout(layout.width - gutter).wrap(label)
    return [
        edge,
        f"{paint(f'{excerpt.line} |', 'faint')} {excerpt.text}".rstrip(),
        f"{edge} {' ' * before}{paint(f'{caret} {label}'.rstrip() if beside else caret, finding.severity)}",
        *(f"{edge} {paint(line, finding.severity)}" for line in below),
    ]


def _cropped(excerpt: Excerpt, width: int) -> Excerpt:
    """Returns an excerpt of at most that many columns, which contains the start of the marked part."""
    if len(excerpt.text) <= width:
        return excerpt
    start = max(min(excerpt.column - 1 - width // 3, len(excerpt.text) - width), 0)
    text = excerpt.text[start : start + width]
    text = f"{'…' if start else text[:1]}{text[1:-1]}{'…' if start + width < len(excerpt.text) else text[-1:]}"
    column = excerpt.column - start
    return Excerpt(excerpt.line, text, column, max(min(excerpt.width, width - column + 1), 1))


def _paths(paths: Sequence[str], *, verbose: bool) -> list[str]:
    if verbose or len(paths) <= MOST_SINGLE:
        return list(paths)
    lines = collapse_paths(map(parse_path, paths))
    more = len(lines) - MOST_PATHS
    return [*lines[:MOST_PATHS], f"… {more:,} more (-v lists them)"] if more > 0 else list(lines)


def _closing(findings: Iterable[Finding]) -> str:
    """Returns `Found 2 errors and 1 warning in rules.yaml.`; notes are not counted."""
    counted = [finding for finding in findings if finding.severity != "note"]
    counts = Counter(finding.severity for finding in counted)
    order: tuple[Severity, ...] = ("error", "warning")
    words = " and ".join(plural(counts[severity], severity) for severity in order if counts[severity])
    files = {finding.span.file if finding.span else None for finding in counted}
    where = f" in {quote(str(files.pop()))}" if len(files) == 1 and None not in files else ""
    return f"Found {words}{where}." if words else ""
