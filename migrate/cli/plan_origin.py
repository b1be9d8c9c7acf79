"""Where `migrate apply` takes its plans from: a rule file, or a plan file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from migrate.cli.running import PlanOrigin, Request
from migrate.codes import InvalidUsage
from migrate.errors import UsageError

if TYPE_CHECKING:
    from migrate.checkpoint import Checkpoint
    from migrate.planning.model import Plan
    from migrate.rules.model import RuleSet
    from migrate.template import Template


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
        return RuleFileOrigin(api.load_rules(rules), request)
    if request.mesh is not None or request.target_partition is not None:
        message = f"{rules} is a plan file, which has decided on the shardings"
        raise UsageError(InvalidUsage.at(message, help="give `--mesh` and `--partition` to `migrate plan`"))
    return _PlanFile(open_plan(rules), request)


@dataclass(frozen=True, slots=True)
class RuleFileOrigin:
    """Makes plans from a rule file; the template is traced once for all steps of a root."""

    rules: RuleSet
    request: Request
    traced: list[Template | None] = field(default_factory=list)

    def plan(self, source: Checkpoint, *, probed: bool) -> Plan:
        """Returns the plan for a checkpoint and any DST."""
        from migrate import api
        from migrate.api.plans import template_of

        request = self.request
        source.require_complete()
        if not self.traced:
            self.traced.append(template_of(self.rules, request.template, allow_code=request.options.allow_code))
        return api.plan(
            source,
            self.rules,
            self.traced[0],
            mesh=request.mesh,
            partition=request.target_partition,
            as_step=request.as_step,
            link=request.link,
            max_ram=request.options.max_ram,
            require_proof=request.options.require_proof and not probed,
            allow_code=request.options.allow_code,
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

    def plan(self, source: Checkpoint, *, probed: bool) -> Plan:
        """Returns the plan for a checkpoint and any DST."""
        from migrate.api.plan_files import bind_plan

        request = self.request
        return bind_plan(
            self.saved,
            source,
            request.template,
            as_step=request.as_step,
            link=request.link,
            max_ram=request.options.max_ram,
            require_proof=request.options.require_proof and not probed,
        )
