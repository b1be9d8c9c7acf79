"""Everything that can be said about a folder of rule files without a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from migrate.codes import UnfusableSteps, UnknownVersion
from migrate.errors import Diagnostic, Span
from migrate.planning.versions.every_path import EveryPath, PlannedStep, plan_every_path
from migrate.planning.versions.graph import ModelVersion
from migrate.planning.versions.graph_findings import graph_findings, newest
from migrate.planning.versions.lints import lint
from migrate.rules.folder import RuleFolder
from migrate.rules.lock import Lock


@dataclass(frozen=True)
class FolderCheck:
    """A folder of rule files with all findings.

    Attributes:
      folder: its valid files.
      every: the plans of its steps and paths.
      heads: the newest version of each model; several of one model are an error.
      lock: its lock file.
      diagnostics: all findings but unlisted files, with the severities that the policy gives them.
      template: the comparison of a model with the newest version; None if no model is named.
    """

    folder: RuleFolder
    every: EveryPath
    heads: tuple[ModelVersion, ...]
    lock: Lock
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether nothing prevents the release of new files: no finding is an error."""
        return not any(one.is_error for one in self.diagnostics)


def check(folder: RuleFolder, lock: Lock, mistakes: Sequence[Diagnostic] = ()) -> FolderCheck:
    """Returns the findings about a folder.

    Args:
      folder: its valid files.
      lock: its lock file.
      mistakes: the mistakes in its other files; where there are some, gaps between versions are not reported.
    """
    every = plan_every_path(folder)
    found = [*mistakes, *lock.problems]
    if not mistakes:
        found += _of_nothing(folder) if not folder.files and not folder.trees else ()
        found += graph_findings(every.graph, folder.trees)
    for planned in every.steps:
        found += _of_step(folder, planned)
    found += _of_paths(every)
    return FolderCheck(folder, every, newest(every.graph, folder.trees), lock, tuple(dict.fromkeys(found)))


def _of_nothing(folder: RuleFolder) -> Iterator[Diagnostic]:
    yield UnknownVersion.at(
        f"{folder.path} has no rule file with a version in `source:` and `target:`, and no recorded tree",
        help=f"`migrate new {folder.path} --from SRC --template M:F` writes the first; "
        "`migrate heads` draws the versions of a folder",
    )


def _of_step(folder: RuleFolder, planned: PlannedStep) -> Iterator[Diagnostic]:
    rules = planned.step.rules
    for version in planned.missing:
        guard = rules.source if version == planned.step.source else rules.target
        yield UnknownVersion.at(
            f"{rules.path} cannot be planned: the tree of {version} is not recorded in {folder.path}",
            span=guard.span,
            help=f"restore {folder.path.rstrip('/')}/{version.version}.tree.json; `migrate new` writes it with a new version",
        )
    if planned.plan is not None:
        start = Span(rules.path, 1, 1, 1, 2)
        yield from (one if one.span else replace(one, span=start) for one in planned.plan.diagnostics)
        if planned.plan.applicable:
            yield from lint(planned.plan)


def _of_paths(every: EveryPath) -> Iterator[Diagnostic]:
    """Yields a warning for each reason why a path takes more than one upgrade; other problems are those of the graph."""
    for path in every.paths:
        for one in path.diagnostics if path.steps else ():
            if one.code == UnfusableSteps.number:
                yield replace(one, severity="warning")
