"""The fields of a new checkpoint's record that describe its model."""

from __future__ import annotations

from typing import Any

from migrate.metadata import Metadata
from migrate.planning.model import Plan


def model_fields(plan: Plan, before: Metadata) -> dict[str, Any]:
    """Returns the fields that describe the model: those of the template; without one, what the rules do not change.

    Args:
      plan: the plan.
      before: the record of its source.
    """
    target, facts = plan.rules.target, plan.model_facts
    kept = {"graph_digest": before.graph_digest, "code_digests": before.code_digests} if not plan.rules.count else {}
    return {
        "model": target.model or before.model,
        "version": target.version if target.version is not None else before.version,
        **(facts or kept),
        "hyperparameters": {**facts.get("hyperparameters", {}), **target.args} or before.hyperparameters,
        "transforms": facts.get("transforms") or before.transforms,
    }
