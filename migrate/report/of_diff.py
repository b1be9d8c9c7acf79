"""A diff as a report: key paths that only one side has, and leaves that differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrate.errors import Diagnostic, ExitCode
from migrate.planning.diff import Diff
from migrate.report.amounts import plural, size
from migrate.report.collapse import Line, merge_integers, merge_siblings, segments
from migrate.report.of_plan import MISMATCHES
from migrate.report.of_values import value_rows, value_sentences, values_data
from migrate.report.picture_of_trees import diff_picture
from migrate.report.view import Report, Row, TextOf, findings, no_text
from migrate.tree import AbstractTree, format_path

if TYPE_CHECKING:
    from migrate.engine.verification.value_diff import ValueDiff

MOST_ROWS = 60
"""The most lines of a diff without `-v`."""


@dataclass(frozen=True, slots=True)
class SideLabel:
    """One side of a comparison: its name as the user wrote it, and its kind (`flax msgpack`, `template`, …)."""

    name: str
    kind: str


def diff_report(
    diff: Diff,
    source: SideLabel,
    target: SideLabel,
    *,
    advice: str = "",
    verbose: bool = False,
    diagnostics: Sequence[Diagnostic] = (),
    values: ValueDiff | None = None,
    text_of: TextOf = no_text,
) -> Report:
    """Reports the differences.

    Args:
      diff: the comparison.
      source: the side of `-` and "unexpected".
      target: the side of `+` and "missing".
      advice: the next step, shown if something differs.
      verbose: whether every line is shown.
      diagnostics: findings beyond the lists of key paths; an error among them makes the answer no.
      values: the comparison of values, if one was made.
      text_of: returns the text of a rule file, for excerpts.
    """
    changed = values.differing if values else {}
    same = diff.equal and not changed and not any(d.is_error for d in diagnostics)
    rows = [*_only(diff.source, diff.unexpected, "-"), *_only(diff.target, diff.missing, "+"), *_changed(diff)]
    rows += value_rows(changed, diff.target)
    shown = rows if verbose else rows[:MOST_ROWS]
    more = f"… {len(rows) - len(shown)} more lines (-v shows all)" if len(rows) > len(shown) else ""
    return Report(
        command="diff",
        exit_code=ExitCode.OK if same else ExitCode.NO,
        facts=(("source", _side(source, diff.source)), ("target", _side(target, diff.target))),
        legend=_legend(rows),
        rows=tuple(shown),
        omitted=more,
        summary=(
            _counts(diff, values=values is not None),
            *(value_sentences(values) if values else ()),
            *([f"Next: {advice}"] if advice and not same and not diff.equal else []),
        ),
        findings=findings(diagnostics, text_of),
        data={**_data(diff), **({"values": _values(values)} if values else {})},
        picture=lambda: diff_picture(diff, source.name, target.name, changed),
    )


def _side(side: SideLabel, tree: AbstractTree) -> str:
    leaves = plural(len(tree.leaves), "leaf")
    return f"{side.name}  ({side.kind}, {leaves}, {size(tree.nbytes)}, {tree.structure_hash[:19]})"


def _legend(rows: Iterable[Row]) -> str:
    """Returns the meaning of the symbols in use."""
    used = {row.symbol for row in rows}
    words = {"-": "only in the source", "+": "only in the target", "~": "differs"}
    texts = [f"{symbol} {meaning}" for symbol, meaning in words.items() if symbol in used]
    return f"({', '.join(texts)})" if texts else ""


def _only(tree: AbstractTree, paths: Iterable[tuple[str, ...]], symbol: str) -> list[Row]:
    lines = [Line((segments(path),), (str(tree.leaves[path]),), (path,)) for path in paths]
    return _drawn(lines, symbol)


def _changed(diff: Diff) -> list[Row]:
    paths = dict.fromkeys((*diff.shape_mismatch, *diff.dtype_mismatch))
    changes = {path: f"{diff.source.leaves[path]} → {diff.target.leaves[path]}" for path in paths}
    lines = [Line((segments(path),), (change,), (path,)) for path, change in changes.items()]
    return _drawn(lines, "~")


def _drawn(lines: Iterable[Line], symbol: str) -> list[Row]:
    return [
        Row(
            symbol,
            subject=line.texts[0],
            detail=f"{line.key[0]}{f'  ×{len(line.members)}' if len(line.members) > 1 else ''}",
        )
        for line in merge_siblings(merge_integers(lines), nested=False)
    ]


def _counts(diff: Diff, *, values: bool) -> str:
    differ = len({*diff.shape_mismatch, *diff.dtype_mismatch})
    if diff.equal:
        same = "Same structure" if values else "No differences"
        return f"{same}: {plural(len(diff.same), 'leaf')} with the same key paths, shapes and dtypes."
    return (
        f"{len(diff.unexpected):,} only in the source, {len(diff.missing):,} only in the target, "
        f"{differ:,} {'differs' if differ == 1 else 'differ'}, {len(diff.same):,} the same."
    )


def _values(values: ValueDiff) -> dict[str, Any]:
    return {
        "compared": len(values.changes),
        "differ": values_data(values.differing),
        "skipped": [format_path(path) for path in values.skipped],
    }


def _data(diff: Diff) -> dict[str, Any]:
    return {
        **{name: [format_path(path) for path in getattr(diff, name)] for name in MISMATCHES},
        "same": len(diff.same),
        "source_structure_hash": diff.source.structure_hash,
        "target_structure_hash": diff.target.structure_hash,
    }
