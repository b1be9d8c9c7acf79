"""An inversion as a report: lost leaves by reason, target leaves that are not used, and notes on structure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

from migrate.errors import ExitCode, Span
from migrate.planning.config import config_name
from migrate.planning.invert.model import Inversion, LeftBehind, Lost
from migrate.report.amounts import plural
from migrate.report.collapse import Line, collapse_paths, merge_integers, merge_siblings, segments
from migrate.report.of_coverage import place
from migrate.report.view import Report, Row, TextOf, findings, no_text
from migrate.tree import KeyPath, format_path

MOST_ROWS = 40
"""Lines of a report without `-v`."""

_MOST_NODES = 3
"""Key paths that a note names."""


def inversion_report(
    inversion: Inversion, rules: str, source: str, output: str, *, verbose: bool = False, text_of: TextOf = no_text
) -> Report:
    """Returns the report that `invert` prints beside the rule file.

    Args:
      inversion: the inversion.
      rules: the inverted rule file as the user wrote it.
      source: the checkpoint as the user wrote it.
      output: the rule file, or a name for it.
      verbose: whether every line is shown.
      text_of: rule files' texts, for excerpts.
    """
    rows = [*_rows(inversion.lost, "-"), *_rows(inversion.left, "&")]
    shown = rows if verbose else rows[:MOST_ROWS]
    return Report(
        command="invert",
        exit_code=ExitCode.OK if inversion.exact else ExitCode.NO,
        title=f"Inverse   target of {rules} → {source}",
        legend=_legend(inversion),
        rows=tuple(shown),
        omitted=f"… {len(rows) - len(shown)} more lines (-v shows all)" if len(rows) > len(shown) else "",
        summary=(*_notes(inversion), *_config(inversion), *_summary(inversion, output)),
        findings=findings(inversion.plan.diagnostics, text_of),
        data=_data(inversion),
    )


def _legend(inversion: Inversion) -> str:
    used = [
        *(["- not restored bit for bit"] if inversion.lost else []),
        *(["& not used"] if inversion.left else []),
    ]
    return f"({', '.join(used)})" if used else ""


def _rows(members: Iterable[Lost | LeftBehind], symbol: str) -> Iterator[Row]:
    groups: defaultdict[Hashable, list[Lost | LeftBehind]] = defaultdict(list)
    for one in members:
        reason = one.kind if one.kind == "tied" else one.reason
        groups[one.kind, reason, one.rule].append(one)
    for group in groups.values():
        lines = merge_siblings(merge_integers(Line((segments(one.path),), (one.kind,), (one,)) for one in group))
        for line in lines:
            first: Lost | LeftBehind = line.members[0]
            yield Row(symbol, first.kind, line.texts[0], "", _detail(line.members), "", place(first.rule))


def _detail(members: Sequence[Lost | LeftBehind]) -> str:
    first = members[0]
    if len(members) == 1:
        return first.reason
    if first.kind == "tied":
        return f"{plural(len(members), 'leaf')}, assumed to equal the leaves that are used"
    return f"{plural(len(members), 'leaf')}: {first.reason}"


def _notes(inversion: Inversion) -> Iterator[str]:
    for note in inversion.notes:
        texts = collapse_paths(note.paths)
        named = ", ".join(f"`{text}`" for text in texts[:_MOST_NODES])
        more = f" and {len(texts) - _MOST_NODES} more" if len(texts) > _MOST_NODES else ""
        yield f"Note: {note.message}: {named}{more}"


def _config(inversion: Inversion) -> Iterator[str]:
    for one in inversion.lost_config:
        names = ", ".join(f"`{format_path(path)}`" for path in one.paths)
        where = f" ({place(one.rule)})" if one.rule else ""
        yield f"Not restored: {names} of {config_name(one.item)}: {one.reason}{where}."


def _summary(inversion: Inversion, output: str) -> Iterator[str]:
    lost = len(inversion.lost)
    back = inversion.leaves - len({one.path for one in inversion.lost})
    yield (
        f"{plural(inversion.rules, 'rule')}. {max(back, 0):,} of {plural(inversion.leaves, 'leaf')} "
        f"{'is' if back == 1 else 'are'} restored bit for bit"
        + (f"; lost: {_counts(inversion.lost)}." if lost else ".")
    )
    yield f"Next: `migrate apply {output} NEW BACK`, where NEW is the migrated checkpoint"


def _counts(lost: Iterable[Lost]) -> str:
    kinds: defaultdict[str, int] = defaultdict(int)
    for one in lost:
        kinds[one.kind] += 1
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())


def _data(inversion: Inversion) -> dict[str, Any]:
    return {
        "rules": inversion.text,
        "lost": [_entry(one.path, one.kind, one.reason, one.rule) for one in inversion.lost],
        "left": [_entry(one.path, one.kind, one.reason, one.rule) for one in inversion.left],
        "notes": [
            {"kind": note.kind, "message": note.message, "paths": [format_path(path) for path in note.paths]}
            for note in inversion.notes
        ],
        "leaves": inversion.leaves,
        "lost_config": [
            {
                "item": one.item or None,
                "paths": [format_path(path) for path in one.paths],
                "reason": one.reason,
                "rule": one.rule.line if one.rule else None,
            }
            for one in inversion.lost_config
        ],
    }


def _entry(path: KeyPath, kind: str, reason: str, rule: Span | None) -> dict[str, Any]:
    return {"path": format_path(path), "kind": kind, "reason": reason, "rule": rule.line if rule else None}
