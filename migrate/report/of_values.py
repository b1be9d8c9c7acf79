"""Leaves whose values differ as rows, sentences and data, for `diff --values` and `verify`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from migrate.report.amounts import plural
from migrate.report.collapse import Line, merge_integers, merge_siblings, segments
from migrate.report.view import Row
from migrate.tree import AbstractTree, KeyPath, format_path

if TYPE_CHECKING:
    from migrate.engine.verification.value_change import ValueChange
    from migrate.engine.verification.value_diff import ValueDiff


def value_rows(changes: Mapping[KeyPath, ValueChange], tree: AbstractTree) -> list[Row]:
    """Returns a row for each group of leaves of one shape and dtype whose values differ.

    The figures of a row are those of its leaves together: counts are added, maxima are the largest.

    Args:
      changes: the leaves that differ.
      tree: the tree that they belong to.
    """
    lines = [Line((segments(path),), (str(tree.leaves[path]),), (path,)) for path in changes]
    return [
        Row("~", subject=line.texts[0], detail=_detail(line, changes))
        for line in merge_siblings(merge_integers(lines), nested=False)
    ]


def _detail(line: Line, changes: Mapping[KeyPath, ValueChange]) -> str:
    count = f"  ×{len(line.members):,}" if len(line.members) > 1 else ""
    return f"{line.key[0]}{count}  {reduce(add, (changes[path] for path in line.members))}"


def value_sentences(done: ValueDiff) -> Iterator[str]:
    """Yields which values were compared and how many differ."""
    differing, compared = done.differing, plural(len(done.changes), "leaf")
    if not done.changes:
        yield "Values: none compared, because no leaf has the same key path, shape and dtype on both sides."
    elif not differing:
        yield f"Values: no differences in {compared}, bit for bit."
    else:
        total = reduce(add, differing.values())
        verb = "differs" if len(differing) == 1 else "differ"
        yield f"Values: {len(differing):,} of {compared} {verb}; {total}."
    if done.skipped:
        yield f"Not compared, as shapes or kinds differ: {plural(len(done.skipped), 'leaf')}."


def values_data(changes: Mapping[KeyPath, ValueChange]) -> list[dict[str, Any]]:
    """Returns the figures of the leaves that differ for programs."""
    return [
        {
            "path": format_path(path),
            "elements": change.elements,
            "differing": change.differing,
            "largest_difference": change.largest,
            "largest_relative_difference": change.relative,
            "norm": change.norm,
            "expected_norm": change.expected_norm,
            "nan": {"expected": change.nan[0], "found": change.nan[1]},
        }
        for path, change in changes.items()
    ]
