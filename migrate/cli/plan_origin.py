"""Where commands take their plans from: a rule file, a plan file, or a folder of rule files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from migrate.cli.running import PlanOrigin, Request
from migrate.codes import InvalidUsage
from migrate.errors import UsageError
from migrate.formats.model_config import CONFIG, config_beside
from migrate.places.names import path_of

if TYPE_CHECKING:
    from migrate.checkpoint import Checkpoint, StrPath
    from migrate.planning.model import Plan
    from migrate.rules.folder import RuleFolder
    from migrate.rules.model import RuleSet
    from migrate.template import Template


def folder_origin(folder: str, request: Request, *, to: str | None, start: str | None) -> FolderOrigin:
    """Returns the plans of the chains of a folder.

    Args:
      folder: the folder of rule files.
      request: the options.
      to: the version to which the rule files lead (default: the newest).
      start: the version of the checkpoint (default: that of its record).

    Raises:
      RuleFileError: with every mistake in the rule files.
    """
    from migrate import api

    return FolderOrigin(api.load_versions(folder), to, start, request)


def origin_of(rules: str, request: Request, *, to: str | None, start: str | None) -> PlanOrigin:
    """Returns the plans of a folder, or of a rule file or plan file; arguments as in `folder_origin`.

    Raises:
      UsageError: a version is named, and it is not a folder (`InvalidUsage`).
      RuleFileError, PlanError: as `plan_origin` and `folder_origin`.
    """
    if os.path.isdir(rules):
        return folder_origin(rules, request, to=to, start=start)
    if to is not None or start is not None:
        message = f"`--to` and `--from` choose rule files of a folder, and {rules} is a file"
        raise UsageError(InvalidUsage.at(message, help="name the folder, or leave them out"))
    return plan_origin(rules, request)


def plan_origin(rules: str, request: Request) -> PlanOrigin:
    """Returns the origin of the plans.

    Args:
      rules: a rule file or a plan file.
      request: the options.

    Raises:
      UsageError: an option belongs to `migrate plan` (`InvalidUsage`).
      RuleFileError, PlanError: the file is invalid, or it is a plan file whose rule file has changed.
    """
    from migrate import api
    from migrate.api.plan_files import is_plan_file, open_plan

    if not is_plan_file(rules):
        loaded = api.load_rules(rules, dict(request.arguments), _model_config(request))
        return ReversedOrigin(loaded, request) if request.reverse else RuleFileOrigin(loaded, request)
    if request.arguments:
        message = f"{rules} is a plan file, in which the arguments have their values"
        raise UsageError(InvalidUsage.at(message, help="give `--arg` to `migrate plan`"))
    if request.reverse:
        message = f"{rules} is a plan file, which has one direction"
        raise UsageError(InvalidUsage.at(message, help="name the rule file, or leave out `--reverse`"))
    if request.config is not None:
        message = f"{rules} is a plan file, in which the values of the model's configuration are filled in"
        raise UsageError(InvalidUsage.at(message, help="give `--config` to `migrate plan`"))
    if request.layout is not None:
        message = f"{rules} is a plan file, which has decided on the layout"
        raise UsageError(InvalidUsage.at(message, help="give `--layout` to `migrate plan`"))
    if request.mesh is not None or request.target_partition is not None:
        message = f"{rules} is a plan file, which has decided on the shardings"
        raise UsageError(InvalidUsage.at(message, help="give `--mesh` and `--partition` to `migrate plan`"))
    return _PlanFile(open_plan(rules), request)


def _model_config(request: Request) -> StrPath | None:
    """Returns the place of the model's configuration: in reverse also the folder whose files DST gets."""
    folder = request.options.files_from if request.reverse else None
    return request.config or (
        folder if folder is not None and config_beside(path_of(os.fspath(folder)) / CONFIG) else None
    )


@dataclass(frozen=True, slots=True)
class RuleFileOrigin:
    """Makes plans from a rule file; the template is traced once for all steps of a root."""

    rules: RuleSet
    request: Request
    traced: list[Template | None] = field(default_factory=list)

    def target_version(self, source: Checkpoint) -> int | str | None:  # noqa: ARG002 - equal for every checkpoint
        """The version to which the rule file leads."""
        return self.rules.target.version

    def plan(self, source: Checkpoint, *, probed: bool) -> Plan:
        """Returns the plan for a checkpoint and any DST."""
        from migrate import api
        from migrate.api.plans import template_of
        from migrate.planning.requirements import resolved

        request = self.request
        source.require_complete()
        if not self.traced:
            rules = resolved(self.rules, source.abstract)
            self.traced.append(template_of(rules, request.template, allow_code=request.options.allow_code))
        return api.plan(
            source,
            self.rules,
            self.traced[0],
            layout=request.layout,
            **_target_options(request, probed=probed),
        )


@dataclass(frozen=True, slots=True)
class ReversedOrigin:
    """Makes plans that lead back from the target of a rule file; the old model is traced once for all steps."""

    forward: RuleSet
    request: Request
    traced: list[Template | None] = field(default_factory=list)

    @property
    def rules(self) -> RuleSet:
        """No rules: those that lead back depend on the checkpoint, which is not read as the rule file states."""
        from migrate.rules.model import RuleSet

        return RuleSet(self.forward.path, "", ())

    def target_version(self, source: Checkpoint) -> int | str | None:  # noqa: ARG002 - equal for every checkpoint
        """The version to which the rules lead back."""
        return self.forward.source.version

    def plan(self, source: Checkpoint, *, probed: bool) -> Plan:
        """Returns the plan for a checkpoint and any DST."""
        from migrate import api
        from migrate.api.plans import template_of

        if not self.traced:
            self.traced.append(template_of(None, self.request.template))
        return api.plan(
            source,
            self.forward,
            self.traced[0],
            reverse=True,
            layout=self.request.layout,
            **_target_options(self.request, probed=probed),
        )


@dataclass(frozen=True, slots=True)
class FolderOrigin:
    """Makes plans from the chain that leads from the version of a checkpoint to another."""

    folder: RuleFolder
    to: str | None
    start: str | None
    request: Request

    @property
    def rules(self) -> RuleSet:
        """No rules: which files are used depends on the record of the checkpoint."""
        from migrate.rules.model import RuleSet

        return RuleSet(self.folder.path, "", ())

    def target_version(self, source: Checkpoint) -> str:
        """The version to which the rule files lead from a checkpoint."""
        from migrate import api

        return api.upgrade_path(source, self.folder, to=self.to, start=self.start)[-1].target.version

    def plan(self, source: Checkpoint, *, probed: bool) -> Plan:
        """Returns the plan for a checkpoint and any DST."""
        from migrate import api

        request = self.request
        return api.plan_upgrade(
            source,
            self.folder,
            request.template,
            to=self.to,
            start=self.start,
            **_target_options(request, probed=probed),
        )


@dataclass(frozen=True, slots=True)
class _PlanFile:
    """Takes the plan of a plan file."""

    saved: Plan
    request: Request

    @property
    def rules(self) -> RuleSet:
        """The part of the rule file that the plan file has."""
        return self.saved.rules

    def target_version(self, source: Checkpoint) -> int | str | None:  # noqa: ARG002 - equal for every checkpoint
        """The version to which the rule file led."""
        return self.rules.target.version

    def plan(self, source: Checkpoint, *, probed: bool) -> Plan:
        """Returns the plan for a checkpoint and any DST."""
        from migrate.api.plan_files import bind_plan

        request = self.request
        return bind_plan(
            self.saved,
            source,
            request.template,
            **_plan_options(request, probed=probed),
        )


def _plan_options(request: Request, *, probed: bool) -> dict[str, Any]:
    """Returns the arguments that every plan gets."""
    return {
        "as_step": request.as_step,
        "link": request.link,
        "max_ram": request.options.max_ram,
        "require_proof": request.options.require_proof and not probed,
    }


def _target_options(request: Request, *, probed: bool) -> dict[str, Any]:
    """Returns the arguments of a plan whose target is not decided yet: those of every plan, and its shardings."""
    return {
        **_plan_options(request, probed=probed),
        "mesh": request.mesh,
        "partition": request.target_partition,
        "allow_code": request.options.allow_code,
    }
