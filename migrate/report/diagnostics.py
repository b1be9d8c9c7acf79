"""Diagnostics in the style of compilers: message, place, the line with a caret, and the next step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from migrate.errors import Severity
from migrate.report.amounts import plural
from migrate.report.collapse import collapse_paths
from migrate.report.quoting import quote, quote_finding
from migrate.report.view import Finding
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


def draw_findings(findings: Sequence[Finding], paint: Paint = plain, *, verbose: bool = False) -> str:
    """Draws all findings and a last line that counts them; an empty string if there are none."""
    if not findings:
        return ""
    shown, hidden = (list(findings), []) if verbose else _crop(findings)
    blocks = [_draw(finding, paint, verbose=verbose) for finding in shown]
    blocks += [f"… {count} more {code} (-v lists them)\n" for code, count in Counter(f.code for f in hidden).items()]
    closing = _closing(findings)
    return "\n".join([*blocks, f"{closing}\n"] if closing else blocks)


def _crop(findings: Iterable[Finding]) -> tuple[list[Finding], list[Finding]]:
    shown: list[Finding] = []
    hidden: list[Finding] = []
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.code] += 1
        (shown if seen[finding.code] <= MOST_ALIKE else hidden).append(finding)
    return shown, hidden


def _draw(finding: Finding, paint: Paint, *, verbose: bool) -> str:
    gutter = len(str(finding.excerpt.line)) if finding.excerpt else 1
    edge = paint(f"{' ' * gutter} |", "faint")
    listed = _paths([path for path in finding.paths if f"`{path}`" not in finding.message], verbose=verbose)
    finding = quote_finding(finding)
    lines = [f"{paint(f'{finding.severity}[{finding.code}]', finding.severity)}: {paint(finding.message, 'strong')}"]
    if finding.span is not None:
        lines.append(f"{paint(' ' * gutter + '-->', 'faint')} {finding.span}")
    lines += _excerpt_lines(finding, edge, paint)
    lines += [edge] if listed and not finding.excerpt else []
    lines += [f"{edge}   {quote(path)}" for path in listed]
    if len(lines) > 1:
        lines.append(edge)
    lines.append(f"{' ' * gutter} {paint('=', 'faint')} help: {finding.help or f'`migrate explain {finding.code}`'}")
    lines += [f"{' ' * gutter}     {line}" for line in finding.snippet]
    return "\n".join(lines) + "\n"


def _excerpt_lines(finding: Finding, edge: str, paint: Paint) -> list[str]:
    excerpt = finding.excerpt
    if excerpt is None:
        return []
    caret = "^" * excerpt.width + (f" {finding.label}" if finding.label else "")
    return [
        edge,
        f"{paint(f'{excerpt.line} |', 'faint')} {excerpt.text}".rstrip(),
        f"{edge} {' ' * (excerpt.column - 1)}{paint(caret, finding.severity)}",
    ]


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
