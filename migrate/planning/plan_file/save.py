"""The text of a plan that is known to be read again as the same plan."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from migrate.codes import InvalidPlanFile
from migrate.errors import PlanError
from migrate.planning.model import Plan
from migrate.planning.plan_file.bind import bound
from migrate.planning.plan_file.read import read_plan
from migrate.planning.plan_file.write import plan_text
from migrate.rules.files import RuleFile


def saved_text(plan: Plan) -> str:
    """Returns the text of a plan file, after reading it again and comparing every decision.

    Raises:
      PlanError: the plan is not applicable, or has something that a plan file cannot express (`InvalidPlanFile`).
    """
    text = plan_text(plan)
    file = RuleFile(plan.rules.path, plan.source.path)
    again = bound(read_plan(text, file, ""), plan.source, link=False)
    if again.digest != _streamed(plan).digest or _given(again.model_facts) != _given(plan.model_facts):
        message = f"the plan of {plan.rules.path} has something that a plan file cannot express"
        advice = f"apply the rule file itself: `migrate apply {shlex.quote(plan.rules.path)} SRC DST`"
        raise PlanError(InvalidPlanFile.at(message, help=advice))
    return text


def _given(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, {}, ())}


def _streamed(plan: Plan) -> Plan:
    """Returns the plan without what depends on the storage of its source."""
    return replace(plan, tasks=tuple(replace(task, mode="stream") for task in plan.tasks))
