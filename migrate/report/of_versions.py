"""Versions of models as reports: the graph of a folder, and the history of a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.codes import CircularVersions
from migrate.errors import ExitCode
from migrate.planning.versions.graph import VersionGraph, draw
from migrate.report.amounts import plural
from migrate.report.view import Finding, Report, Row, findings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.metadata import Metadata
    from migrate.rules.folder import RuleFolder


def heads_report(folder: RuleFolder) -> Report:
    """Reports the versions that a folder knows and the newest of them; exit code 1 unless each model has one."""
    graph = VersionGraph(folder)
    models = {version.model for version in graph.versions}
    circle = graph.circle()
    summary = [f"{_named('head', graph.heads)}."] if graph.heads else []
    if not graph.steps:
        summary = [f"{folder.path} has no rule file with a version in `source:` and `target:`."]
    if folder.others:
        summary.append(f"Without a version: {', '.join(folder.others)}.")
    recorded = {(tree.model or None, str(tree.version)) for tree in folder.trees}
    found: tuple[Finding, ...] = ()
    if circle:
        where = " → ".join(map(str, (circle[0].source, *(step.target for step in circle))))
        found = findings(
            [
                CircularVersions.at(
                    f"rule files in {folder.path} lead in a circle: {where}",
                    help="keep rule files that lead back in a folder of their own",
                )
            ]
        )
    one_each = len(graph.heads) == len(models) and not circle
    return Report(
        "heads",
        ExitCode.OK if one_each else ExitCode.NO,
        title=f"{folder.path}: {plural(len(graph.versions), 'version')}, {plural(len(graph.steps), 'rule file')}",
        rows=tuple(Row(subject=f"  {line}") for line in draw(graph.steps)),
        summary=tuple(summary),
        findings=found,
        data={
            "heads": [{"model": one.model, "version": one.version} for one in graph.heads],
            "versions": [
                {
                    "model": one.model,
                    "version": one.version,
                    "recorded": (one.model, one.version) in recorded or (None, one.version) in recorded,
                }
                for one in graph.versions
            ],
            "steps": [
                {"file": step.rules.path, "from": step.source.version, "to": step.target.version}
                for step in graph.steps
            ],
        },
    )


def history_report(path: str, record: Metadata | None) -> Report:
    """Reports the migrations that a checkpoint records, the oldest first."""
    found = record.history if record else ()
    version = f"{record.model or 'model'} {record.version}" if record and record.version is not None else "no version"
    return Report(
        "history",
        title=f"{path}: {version}, {plural(len(found), 'migration')}",
        rows=tuple(
            Row(subject=f"  {row.date}", detail=f"{row.rules}  (plan {_short(row.plan_digest)})") for row in found
        ),
        summary=() if record else ("It has no record: neither migrate nor `migrate stamp` wrote one.",),
        data={
            "model": record.model if record else None,
            "version": record.version if record else None,
            "history": [
                {
                    "rules": row.rules,
                    "rules_digest": row.rules_digest,
                    "source_structure_hash": row.source_structure_hash,
                    "plan_digest": row.plan_digest,
                    "date": row.date,
                }
                for row in found
            ],
        },
    )


def _named(word: str, names: Sequence[object]) -> str:
    return f"{word.capitalize()}{'s' if len(names) > 1 else ''}: {', '.join(map(str, names))}"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
