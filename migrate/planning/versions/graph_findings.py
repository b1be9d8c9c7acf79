"""What prevents a folder of rule files from having one path from each version to one newest version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import Any

from migrate.codes import AmbiguousUpgradePath, CircularVersions, NoUpgradePath
from migrate.errors import Diagnostic, PlanError
from migrate.planning.versions.graph import ModelVersion, VersionGraph, VersionStep, draw
from migrate.rules.recorded_tree import RecordedTree
from migrate.tree import natural_key

_Part = tuple[ModelVersion, ...]
"""Versions that rule files connect, in natural order."""


def graph_findings(graph: VersionGraph, trees: Sequence[RecordedTree] = ()) -> Iterator[Diagnostic]:
    """Yields every gap, circle, second newest version and second chain of a graph, each with a drawing.

    Args:
      graph: the rule files.
      trees: the recorded trees; their versions belong to the graph.
    """
    by_model: defaultdict[str | None, list[_Part]] = defaultdict(list)
    for part in _parts(graph, trees):
        by_model[part[0].model].append(part)
    for parts in by_model.values():
        for before, after in pairwise(parts):
            yield _gap(graph, before, after)
        for part in parts:
            circle = list(_circle(graph, part))
            yield from circle or _branches(graph, part)


def newest(graph: VersionGraph, trees: Sequence[RecordedTree] = ()) -> tuple[ModelVersion, ...]:
    """Returns the newest versions, those that only a recorded tree describes included."""
    return tuple(version for part in _parts(graph, trees) for version in part if not graph.steps_from(version))


def _parts(graph: VersionGraph, trees: Sequence[RecordedTree]) -> list[_Part]:
    """Returns the versions in groups that rule files connect, in natural order of their first versions."""
    group = {version: {version} for version in _versions(graph, trees)}
    for step in graph.steps:
        one, other = group[step.source], group[step.target]
        if one is not other:
            one |= other
            group |= dict.fromkeys(other, one)
    parts = {id(part): tuple(sorted(part, key=_order)) for part in group.values()}
    return sorted(parts.values(), key=lambda part: _order(part[0]))


def _versions(graph: VersionGraph, trees: Sequence[RecordedTree]) -> Collection[ModelVersion]:
    found = dict.fromkeys(graph.versions)
    models = {version.model for version in found}
    for tree in trees:
        model = next(iter(models)) if tree.model is None and len(models) == 1 else tree.model
        alike = [one for one in found if one.version == str(tree.version) and one.model in (model, None)]
        found.setdefault(alike[0] if alike else ModelVersion(model, str(tree.version)))
    return found


def _order(version: ModelVersion) -> Any:
    return natural_key((version.model or "", version.version))


def _steps(graph: VersionGraph, part: Collection[ModelVersion]) -> list[VersionStep]:
    return [step for step in graph.steps if step.source in part]


def _gap(graph: VersionGraph, before: _Part, after: _Part) -> Diagnostic:
    last = next((version for version in reversed(before) if not graph.steps_from(version)), before[-1])
    steps = _steps(graph, after)
    return NoUpgradePath.at(
        f"no rule files of {graph.folder} lead from {last} to {after[0]}",
        span=steps[0].rules.source.span if steps else None,
        help="add the missing rule file, or move the files and trees of other versions out of the folder; "
        "the versions:",
        snippet=[*_drawn(graph, before), *_drawn(graph, after)],
    )


def _drawn(graph: VersionGraph, part: _Part) -> Sequence[str]:
    return draw(_steps(graph, part)) or tuple(map(str, part))


def _circle(graph: VersionGraph, part: _Part) -> Iterator[Diagnostic]:
    circle = graph.circle(part)
    if circle:
        where = " → ".join(map(str, (circle[0].source, *(step.target for step in circle))))
        yield CircularVersions.at(
            f"rule files in {graph.folder} lead in a circle: {where}",
            span=circle[-1].rules.target.span,
            help="keep rule files that lead back in a folder of their own; the rule files:",
            snippet=draw(circle),
        )


def _branches(graph: VersionGraph, part: _Part) -> Iterator[Diagnostic]:
    steps = _steps(graph, part)
    heads = [version for version in part if not graph.steps_from(version)]
    if len(heads) > 1:
        yield AmbiguousUpgradePath.at(
            f"{graph.folder} has {len(heads)} newest versions: {', '.join(map(str, heads))}",
            span=next(step for step in reversed(steps) if step.target == heads[-1]).rules.target.span,
            help="let one follow the other: change `source:` of its rule file, and the number in its name; "
            "the rule files:",
            snippet=draw(steps),
        )
    reached = {step.target for step in steps}
    for start in (version for version in part if version not in reached):
        for head in graph.heads_from(start):
            try:
                graph.path(start, head)
            except PlanError as error:
                yield from error.diagnostics
