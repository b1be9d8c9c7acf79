"""A suggestion as a report: the leaves that are placed, unproved and not placed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from shlex import quote
from typing import Any

from migrate.errors import ExitCode
from migrate.planning.model import Task
from migrate.planning.suggest.composition import ProbeFindings, Suggestion, probe_sentence
from migrate.planning.suggest.text import alternatives_of
from migrate.report.amounts import plural
from migrate.report.collapse import Line, merge_integers, merge_siblings, segments
from migrate.report.of_plan import plan_data
from migrate.report.view import Report, Row, findings
from migrate.tree import AbstractTree, KeyPath, format_path, natural_key

_MOST = 20
"""The most alternatives listed for a task that only its names and numbers support."""


def suggestion_report(
    suggestion: Suggestion, source: str, output: str, *, takes_probe: bool = True, check: str | None = None
) -> Report:
    """Reports a suggestion, for `suggest` to print beside the rule file.

    Args:
      suggestion: the suggestion.
      source: the checkpoint as the user wrote it.
      output: the name of the rule file, for the command to run next.
      takes_probe: whether the command has `--probe`.
      check: the command that checks the rule file (default: `migrate check` of the file and the source).
    """
    plan = suggestion.plan
    command = check or f"migrate check {quote(output)} {quote(source)}"
    placed = not suggestion.unplaced_sources and not suggestion.unplaced_targets
    source_layout, target_layout = suggestion.layouts
    return Report(
        command="suggest",
        exit_code=ExitCode.OK if plan.applicable and _agrees(suggestion) else ExitCode.NO,
        title=f"Suggestion   {source} → {plan.template}",
        facts=(
            ("source", f"{source_layout}, {plural(len(plan.source.tree.leaves), 'leaf')}"),
            ("target", f"{target_layout}, {plural(len(plan.target.leaves), 'leaf')}"),
        ),
        legend="" if placed else "(not placed: - in the source, + in the target)",
        rows=(
            *_rows(plan.source.tree, suggestion.unplaced_sources, "-"),
            *_rows(plan.target, suggestion.unplaced_targets, "+"),
        ),
        summary=tuple(_summary(suggestion, command, takes_probe=takes_probe)),
        findings=() if not placed else findings(plan.diagnostics),
        data=_data(suggestion),
    )


def _agrees(suggestion: Suggestion) -> bool:
    return suggestion.findings is None or suggestion.findings.agrees


def _rows(tree: AbstractTree, paths: tuple[KeyPath, ...], symbol: str) -> list[Row]:
    lines = [Line((segments(path),), (str(tree.leaves[path]),), (path,)) for path in paths]
    return [
        Row(symbol, subject=line.texts[0], detail=str(line.key[0]))
        for line in merge_siblings(merge_integers(lines), nested=False)
    ]


def _summary(suggestion: Suggestion, check: str, *, takes_probe: bool) -> Iterator[str]:
    doubts, left = len(suggestion.doubts), len(suggestion.unplaced_sources) + len(suggestion.unplaced_targets)
    sentences = [f"{plural(suggestion.rules, 'rule')}."]
    if doubts:
        sentences.append(f"Unproved: {plural(doubts, 'source leaf')}.")
    sentences.append(f"Not placed: {plural(left, 'leaf')}." if left else "Every leaf is placed.")
    yield " ".join(sentences)
    if suggestion.findings:
        yield probe_sentence(suggestion.findings)
    settle = ", or settle them with `--probe M:F`" if takes_probe and not suggestion.findings else ""
    todo = ["write rules for the leaves that are not placed"] if left else []
    todo += [f"review the rules marked `unproved`{settle}"] if doubts else []
    first = f"{' and '.join(todo)}{';' if settle and doubts else ','} then run " if todo else ""
    yield f"Next: {first}`{check}`"


def _by_shapes(tasks: Iterable[Task]) -> dict[object, list[Task]]:
    """Groups tasks that their shapes do not distinguish."""
    groups: defaultdict[object, list[Task]] = defaultdict(list)
    for task in tasks:
        groups[_shapes(task)].append(task)
    return groups


def _shapes(task: Task) -> object:
    return task.follows is None, task.in_avals, task.out_avals


def _data(suggestion: Suggestion) -> dict[str, Any]:
    data = plan_data(suggestion.plan)
    by_shapes = _by_shapes(suggestion.plan.tasks)
    for shown, task in zip(data["tasks"], suggestion.plan.tasks, strict=True):
        doubts = suggestion.doubts_of(task)
        shown["unproved"] = [doubt.why for doubt in doubts]
        shown["alternatives"] = alternatives_of(doubts)
        if task.proved == "none" and not shown["alternatives"]:  # names and numbers support it, shapes do not
            others = (other for other in by_shapes[_shapes(task)] if other is not task)
            shown["alternatives"] = [{"target": format_path(other.targets[0])} for other in islice(others, _MOST)]
    return {
        "rules": suggestion.text,
        "unplaced": {
            "source": [format_path(path) for path in suggestion.unplaced_sources],
            "target": [format_path(path) for path in suggestion.unplaced_targets],
        },
        "family": _family_data(suggestion),
        "probe": _probe_data(suggestion.findings),
        **data,
    }


def _family_data(suggestion: Suggestion) -> dict[str, str] | None:
    family = suggestion.composition.family
    return None if family is None else {"file": family.family.name, "include": family.include}


def _probe_data(findings: ProbeFindings | None) -> dict[str, Any] | None:
    if findings is None:
        return None
    leaves = {"proved": findings.proved, "alike": findings.alike, "untried": findings.untried}
    return {
        "function": findings.spec,
        "runs": findings.runs,
        "budget": findings.budget,
        "agrees": findings.agrees,
        "changed": findings.changed,
        "reason": findings.reason,
        **{name: [format_path(path) for path in sorted(paths, key=natural_key)] for name, paths in leaves.items()},
    }
