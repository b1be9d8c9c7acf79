"""A suggestion as a report: how much found its place, what is not proved, what did not find one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from migrate.errors import ExitCode
from migrate.planning.model import Task
from migrate.planning.suggest.pipeline import Suggestion
from migrate.planning.suggest.text import alternatives_of
from migrate.report.amounts import plural
from migrate.report.collapse import Line, fold_integers, fold_siblings, segments
from migrate.report.of_plan import plan_data
from migrate.report.view import Report, Row, findings
from migrate.tree import AbstractTree, KeyPath, format_path

_MOST = 20
"""How many leaves of the same shape are listed where nothing but shapes is against a task."""


def suggestion_report(suggestion: Suggestion, source: str, output: str) -> Report:
    """What `suggest` says beside the rule file.

    Args:
      suggestion: the suggestion.
      source: the checkpoint as the user wrote it.
      output: the rule file, or what it could be called.
    """
    plan = suggestion.plan
    placed = not suggestion.unplaced_sources and not suggestion.unplaced_targets
    mine, theirs = suggestion.layouts
    return Report(
        command="suggest",
        exit_code=ExitCode.OK if plan.applicable else ExitCode.NO,
        title=f"Suggestion   {source} → {plan.template}",
        facts=(
            ("source", f"{mine}, {plural(len(plan.source.tree.leaves), 'leaf')}"),
            ("target", f"{theirs}, {plural(len(plan.target.leaves), 'leaf')}"),
        ),
        legend="" if placed else "(not placed: - source, + target)",
        rows=(
            *_rows(plan.source.tree, suggestion.unplaced_sources, "-"),
            *_rows(plan.target, suggestion.unplaced_targets, "+"),
        ),
        summary=tuple(_summary(suggestion, source, output)),
        findings=() if not placed else findings(plan.diagnostics),
        data=_data(suggestion),
    )


def _rows(tree: AbstractTree, paths: tuple[KeyPath, ...], symbol: str) -> list[Row]:
    lines = [Line((segments(path),), (str(tree.leaves[path]),), (path,)) for path in paths]
    return [
        Row(symbol, subject=line.texts[0], detail=str(line.key[0]))
        for line in fold_siblings(fold_integers(lines), nested=False)
    ]


def _summary(suggestion: Suggestion, source: str, output: str) -> Iterator[str]:
    doubts, left = len(suggestion.doubts), len(suggestion.unplaced_sources) + len(suggestion.unplaced_targets)
    sentences = [f"{plural(suggestion.rules, 'rule')}."]
    if doubts:
        sentences.append(f"Not proved: where {plural(doubts, 'source leaf')} {'goes' if doubts == 1 else 'go'}.")
    sentences.append(f"Not placed: {plural(left, 'leaf')}." if left else "Every leaf has its place.")
    yield " ".join(sentences)
    look = "read what is marked `unproved`, then " if doubts else ""
    yield f"Next: {look}`migrate check {output} {source}`"


def _alike(tasks: Iterable[Task]) -> dict[object, list[Task]]:
    """Tasks by what shapes show of them."""
    found: defaultdict[object, list[Task]] = defaultdict(list)
    for task in tasks:
        found[_shapes(task)].append(task)
    return found


def _shapes(task: Task) -> object:
    return task.follows is None, task.in_avals, task.out_avals


def _data(suggestion: Suggestion) -> dict[str, Any]:
    data = plan_data(suggestion.plan)
    alike = _alike(suggestion.plan.tasks)
    for shown, task in zip(data["tasks"], suggestion.plan.tasks, strict=True):
        doubts = suggestion.doubts_of(task)
        shown["unproved"] = [doubt.why for doubt in doubts]
        shown["alternatives"] = alternatives_of(doubts)
        if task.proved == "none" and not shown["alternatives"]:  # numbers and names speak for it, shapes do not
            others = (other for other in alike[_shapes(task)] if other is not task)
            shown["alternatives"] = [{"target": format_path(other.targets[0])} for other in islice(others, _MOST)]
    return {
        "rules": suggestion.text,
        "unplaced": {
            "source": [format_path(path) for path in suggestion.unplaced_sources],
            "target": [format_path(path) for path in suggestion.unplaced_targets],
        },
        **data,
    }
