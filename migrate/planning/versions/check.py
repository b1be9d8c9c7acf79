"""Everything that can be said about a folder of rule files without a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from migrate.codes import ConfigConflict, UnfusableSteps, UnknownVersion, UnreleasedModel
from migrate.errors import Diagnostic, Span
from migrate.planning.recorded_leaves import ABSENT, LeafChange, leaf_changes, listed_changes
from migrate.planning.versions.every_path import EveryPath, PlannedStep, plan_every_path
from migrate.planning.versions.graph import ModelVersion
from migrate.planning.versions.graph_findings import graph_findings, newest
from migrate.planning.versions.lints import lint
from migrate.rules.folder import RuleFolder
from migrate.rules.lock import Lock
from migrate.rules.recorded_tree import RecordedTree
from migrate.tree import AbstractTree

if TYPE_CHECKING:
    from migrate.planning.versions.new_version import NewVersion


@dataclass(frozen=True)
class ModelComparison:
    """A model compared with the recorded tree of the newest version.

    Attributes:
      template: the model, as `module:callable`.
      version: the newest version.
      changes: the leaves that differ.
      draft: the missing rule file; None if model and tree have the same structure.
    """

    template: str
    version: ModelVersion
    changes: tuple[LeafChange, ...] = ()
    draft: NewVersion | None = None


@dataclass(frozen=True)
class FolderCheck:
    """A folder of rule files with all findings.

    Attributes:
      folder: its valid files.
      every: the plans of its steps and paths.
      heads: the newest versions; several of one model are an error.
      lock: its lock file.
      diagnostics: all findings but unlisted files, with the severities that the policy gives them.
      model: the comparison of a model with the newest version; None if there is none.
    """

    folder: RuleFolder
    every: EveryPath
    heads: tuple[ModelVersion, ...]
    lock: Lock
    diagnostics: tuple[Diagnostic, ...] = ()
    model: ModelComparison | None = None

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """All findings, unlisted files included."""
        return (*self.diagnostics, *self.lock.unlisted())

    @property
    def is_writable(self) -> bool:
        """Whether nothing prevents a new version: there is no error that it would not cure."""
        return not any(one.is_error and one.code != UnreleasedModel.number for one in self.diagnostics)


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
        found += _of_nothing(folder)
        found += graph_findings(every.graph, folder.trees)
        found += _unrecorded(folder, every)
    for planned in every.steps:
        found += _of_step(planned)
    found += _of_paths(every)
    return FolderCheck(folder, every, newest(every.graph, folder.trees), lock, tuple(dict.fromkeys(found)))


def compared(recorded: RecordedTree, version: ModelVersion, template: str, tree: AbstractTree) -> ModelComparison:
    """Returns the comparison of a model's tree with the newest version, without a draft."""
    return ModelComparison(template, version, tuple(leaf_changes(recorded.tree.signature, tree.signature)))


def unreleased(folder: str, comparison: ModelComparison, command: str) -> Diagnostic:
    """Returns the error of a model that is not the newest version, with the draft of its rule file.

    Args:
      folder: the folder.
      comparison: has a draft.
      command: the command that writes the draft.
    """
    draft = comparison.draft
    lines = draft.text.splitlines() if draft else ()
    return UnreleasedModel.at(
        f"`{comparison.template}` is not {comparison.version}, the newest version in {folder}: {_changes(comparison)}",
        paths=[change.path for change in comparison.changes],
        help=f"`{command}` writes {draft.name if draft else 'the rule file'} and its recorded tree; the draft:",
        snippet=lines,
    )


def _changes(comparison: ModelComparison) -> str:
    """Returns what differs in a few words; the shapes and dtypes of leaves that both have are named."""
    new = sum(change.before == ABSENT for change in comparison.changes)
    gone = sum(change.after == ABSENT for change in comparison.changes)
    others = [change for change in comparison.changes if ABSENT not in (change.before, change.after)]
    counted = (f"{count} {word}" for count, word in ((new, "new"), (gone, "gone")) if count)
    parts = [f"leaves: {', '.join(counted)}" if new or gone else "", listed_changes(others)]
    return "; ".join(filter(None, parts)) or "containers are of other kinds"


def _of_nothing(folder: RuleFolder) -> Iterator[Diagnostic]:
    if not folder.files and not folder.trees:
        yield UnknownVersion.at(
            f"{folder.path} has no rule file with a version in `source:` and `target:`, and no recorded tree",
            help=f"`migrate new {folder.path} --from SRC --template M:F` writes the first version",
        )


def _unrecorded(folder: RuleFolder, every: EveryPath) -> Iterator[Diagnostic]:
    """Yields a diagnostic for each version whose tree a step needs."""
    for version in dict.fromkeys(one for planned in every.steps for one in planned.missing):
        step = next(one.step for one in every.steps if version in one.missing)
        guard = step.rules.source if version == step.source else step.rules.target
        file = f"{folder.path.rstrip('/')}/{version.version}.tree.json"
        yield UnknownVersion.at(
            f"{step.rules.path} cannot be planned: the tree of {version} is not recorded in {folder.path}",
            span=guard.span,
            help=f"restore {file} from version control; `migrate new` writes it with each new version",
        )


def _of_step(planned: PlannedStep) -> Iterator[Diagnostic]:
    if planned.plan is not None:
        start = Span(planned.step.rules.path, 1, 1, 1, 2)
        yield from (one if one.span else replace(one, span=start) for one in planned.plan.diagnostics)
        if planned.plan.applicable:
            yield from lint(planned.plan)


def _of_paths(every: EveryPath) -> Iterator[Diagnostic]:
    """Yields a warning for each reason why a path takes more than one upgrade, and an error for each contradiction
    between `config:` rules of several files; the graph has its own findings.
    """
    for path in every.paths:
        for one in path.diagnostics if path.steps else ():
            if one.code == UnfusableSteps.number:
                yield replace(one, severity="warning")
            elif one.code == ConfigConflict.number:
                yield one
