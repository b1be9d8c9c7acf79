"""The plan from a step of a root to the model of a job: none of the rule files, or the only path of them that fits."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from migrate.api.loading import recipient_for
from migrate.api.plans import finished, load_rules, plan
from migrate.api.versions import chain_steps, load_versions, refuse_other_reading
from migrate.checkpoint import Checkpoint, StrPath
from migrate.codes import UnexplainedStep
from migrate.errors import Diagnostic, PlanError, UsageError
from migrate.metadata import Metadata
from migrate.planning.versions.chain import plan_chain
from migrate.planning.versions.graph import ModelVersion, VersionGraph
from migrate.rules.folder import RuleFolder

if TYPE_CHECKING:
    from migrate.engine.loading.recipient import Recipient
    from migrate.planning.model import Plan
    from migrate.planning.versions.graph import VersionStep
    from migrate.rules.model import RuleSet

_SHOWN = 3
"""The most versions that a message lists."""

Planned = tuple["Recipient", "Plan"]


class ResumedModel:
    """The model of a job, and the rule files that lead to it."""

    def __init__(
        self,
        template: str | None,
        into: Any,
        rules: RuleFolder | StrPath,
        to: int | str | None,
        *,
        max_ram: int,
        allow_code: bool,
    ) -> None:
        """Notes the arguments of `resume`; nothing is read yet."""
        self._template = template
        self._into = into
        self._rules = rules
        self._to = to
        self._max_ram = max_ram
        self._allow_code = allow_code
        self._recipients: dict[str, Recipient] = {}

    def plan_for(self, checkpoint: Checkpoint) -> Planned:
        """Returns the model, and the plan from a step to it.

        Raises:
          PlanError: no rule file explains the step (`UnexplainedStep`), or there is no single path.
          UsageError: there is no model (`InvalidUsage`).
          RuleFileError: a rule file has mistakes.
          RefusedError: a template may not run (`CodeNotAllowed`).
          CheckpointError: a template fails (`InvalidTemplate`).
        """
        record = Metadata.from_json(checkpoint.abstract.metadata) or Metadata()
        if record.version is None:
            return self._plan_without_version(checkpoint)
        version = self._version_of(record, checkpoint)
        if self._is_reached(version):
            return self._plan_of_reached(checkpoint, version)
        if not self._graph.versions:
            message = f"`{checkpoint.abstract.path}` is {version}, not {self._to}, and {self._no_rule_files}"
            raise PlanError(UnexplainedStep.at(message, help=self._advice(checkpoint)))
        recipient, made = self._plan_of_path(checkpoint, version)
        if self._to is None and not made.applicable and self._plan_unchanged(checkpoint, version)[1].applicable:
            heads = ", ".join(map(str, self._graph.heads_from(version)))
            message = (
                f"`{checkpoint.abstract.path}` is {version} and fits the model, but the rule files of "
                f"{self._folder.path} lead on to {heads}, which the model does not fit"
            )
            advice = f"pass `to={version.version!r}`, or resume with the code of {heads}"
            raise PlanError(UnexplainedStep.at(message, help=advice), *_errors(made))
        return recipient, made

    def plan_as_it_is(self, checkpoint: Checkpoint) -> Planned | None:
        """Returns the model, and the plan from a step or layout of the model's version to it; None for any other.

        Raises:
          UsageError: there is no model (`InvalidUsage`).
          RuleFileError: a rule file has mistakes.
          RefusedError: a template may not run (`CodeNotAllowed`).
          CheckpointError: a template fails (`InvalidTemplate`).
        """
        record = Metadata.from_json(checkpoint.abstract.metadata) or Metadata()
        version = None
        if record.version is not None:
            try:
                version = self._version_of(record, checkpoint)
            except PlanError:
                return None
            if not self._is_reached(version):
                return None
        planned = self._plan_unchanged(checkpoint, version)
        return planned if planned[1].applicable else None

    @cached_property
    def _folder(self) -> RuleFolder:
        """The rule files; none where the folder is missing."""
        rules = self._rules
        if not isinstance(rules, str | os.PathLike):
            return rules
        return load_versions(rules) if os.path.lexists(rules) else RuleFolder(os.fspath(rules), ())

    @cached_property
    def _graph(self) -> VersionGraph:
        return VersionGraph(self._folder)

    def _version_of(self, record: Metadata, checkpoint: Checkpoint) -> ModelVersion:
        """Returns the version of a step.

        Raises:
          PlanError: the rule files do not name it (`UnexplainedStep`).
        """
        name = ModelVersion(record.model, str(record.version))
        if not self._graph.versions:
            return name
        try:
            return self._graph.find(record.model, name.version)
        except UsageError as error:
            message = f"`{checkpoint.abstract.path}` is {name}: {error.diagnostics[0].message}"
            raise PlanError(UnexplainedStep.at(message, help=error.diagnostics[0].help)) from None

    def _is_reached(self, version: ModelVersion) -> bool:
        """Whether a version is that of the model: the wanted one, the newest, or any without rule files."""
        if self._to is not None:
            return version.version == str(self._to)
        return not self._graph.versions or version in self._graph.heads

    def _plan_of_reached(self, checkpoint: Checkpoint, version: ModelVersion) -> Planned:
        """Returns the plan of a step to which no rule file is applied.

        Raises:
          PlanError: it does not fit the model (`UnexplainedStep`).
        """
        recipient, made = self._plan_unchanged(checkpoint, version)
        if made.applicable:
            return recipient, made
        newest = f"the newest version of {self._folder.path}" if self._graph.versions else self._no_rule_files
        place = newest if self._to is None else "the version that `to` names"
        message = f"`{checkpoint.abstract.path}` is {version}, {place}, and does not fit the model"
        raise PlanError(UnexplainedStep.at(message, help=self._advice(checkpoint)), *_errors(made))

    def _plan_without_version(self, checkpoint: Checkpoint) -> Planned:
        """Returns the plan of a step that does not record its version: unchanged, or the only path that fits.

        Raises:
          PlanError: none fits, or several do (`UnexplainedStep`); all versions that were tried are named.
        """
        unchanged = self._plan_unchanged(checkpoint)
        if unchanged[1].applicable:
            return unchanged
        tried = {version: self._plan_of_path(checkpoint, version) for version in self._starts()}
        fitting = {version: planned for version, planned in tried.items() if planned[1].applicable}
        if len(fitting) == 1:
            return next(iter(fitting.values()))
        path = checkpoint.abstract.path
        if fitting:
            names = ", ".join(map(str, fitting))
            message = f"`{path}` records no version, and the rule files of several fit it: {names}"
            first = next(iter(fitting))
            stamp = shlex.join([str(path), "--model", first.model or "NAME", "--version", first.version])
            advice = f"record the right one, for example `migrate stamp {stamp}`"
            raise PlanError(UnexplainedStep.at(message, help=advice))
        reasons = [f"{version}: {_errors(planned[1])[0].message}" for version, planned in tried.items()]
        names = "; ".join(reasons[:_SHOWN]) or self._no_rule_files
        more = f"; and {len(reasons) - _SHOWN} more versions" if len(reasons) > _SHOWN else ""
        message = f"`{path}` records no version and does not fit the model, nor is it of a version that leads there"
        finding = UnexplainedStep.at(f"{message}: {names}{more}", help=self._advice(checkpoint))
        raise PlanError(finding, *_errors(unchanged[1]))

    def _starts(self) -> Iterator[ModelVersion]:
        """Yields the versions from which exactly one path leads to the newest."""
        for version in self._graph.versions:
            try:
                if not self._is_reached(version) and self._path(version):
                    yield version
            except PlanError:
                continue

    def _path(self, version: ModelVersion) -> tuple[VersionStep, ...]:
        """Returns the rule files from a version to that of the model.

        Raises:
          PlanError: there is no single path.
          UsageError: the wanted version is unknown (`UnknownVersion`).
        """
        return self._graph.path(version, None if self._to is None else self._graph.find(version.model, self._to))

    def _plan_of_path(self, checkpoint: Checkpoint, version: ModelVersion) -> Planned:
        """Returns the fused plan of the path from a version.

        Raises:
          PlanError: there is no single path.
        """
        path = self._path(version)
        refuse_other_reading(checkpoint, path[0])
        recipient = self._recipient(path[-1].rules)
        steps = chain_steps(self._folder, path, recipient.template, allow_code=self._allow_code)
        made = plan_chain(checkpoint.abstract, steps)
        return recipient, finished(replace(made, max_ram=self._max_ram), recipient.template.notes)

    def _plan_unchanged(self, checkpoint: Checkpoint, version: ModelVersion | None = None) -> Planned:
        """Returns the plan without rules, with the arguments of the template that lead to a version."""
        goals = (version,) if version else tuple(filter(self._is_reached, self._graph.versions))
        leading = [step.rules for step in self._graph.steps if step.target in goals] if len(goals) == 1 else []
        rules = load_rules("portable")
        if leading:
            target = replace(leading[0].target, model=None, version=None, structure=None)
            rules = replace(rules, target=target, files=leading[0].files)
        recipient = self._recipient(rules)
        return recipient, plan(checkpoint, rules, recipient.template, max_ram=self._max_ram)

    def _recipient(self, rules: RuleSet) -> Recipient:
        """Returns the model, which is made once for all rule files that agree on its arguments."""
        target = rules.target
        key = f"{target.template if self._template is None else ''} {target.layout} {dict(target.args)!r}"
        if key not in self._recipients:
            made = recipient_for(rules, self._template, self._into, allow_code=self._allow_code)
            self._recipients[key] = made
        return self._recipients[key]

    @property
    def _no_rule_files(self) -> str:
        return f"there are no rule files in {self._folder.path}"

    def _advice(self, checkpoint: Checkpoint) -> str:
        words = [self._folder.path, "--from", str(checkpoint.abstract.path), "--template", self._template or "M:F"]
        return f"`migrate new {shlex.join(words)}` drafts the missing rule file"


def _errors(made: Plan) -> list[Diagnostic]:
    return [found for found in made.diagnostics if found.is_error]
