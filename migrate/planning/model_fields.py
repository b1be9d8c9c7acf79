"""The fields of a new checkpoint's record that describe its model, and the JSON items that its metadata hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrate.metadata import Metadata, kept_items, with_items
from migrate.planning.config import RECORD
from migrate.planning.model import Plan


def model_fields(plan: Plan, before: Metadata) -> dict[str, Any]:
    """Returns the fields that describe the model: those of the template; without one, what the rules do not change.

    Hyperparameters that the rules change are those of the source after the rules, with a template too.

    Args:
      plan: the plan.
      before: the record of its source.
    """
    target, facts = plan.rules.target, plan.model_facts
    kept = {"graph_digest": before.graph_digest, "code_digests": before.code_digests} if not plan.rules.count else {}
    known = {**facts.get("hyperparameters", {}), **target.args} or before.hyperparameters
    return {
        "model": target.model or before.model,
        "version": target.version if target.version is not None else before.version,
        **(facts or kept),
        "hyperparameters": plan.config.contents.get(RECORD, known),
        "transforms": facts.get("transforms") or before.transforms,
    }


def custom_metadata(plan: Plan) -> Mapping[str, Any]:
    """Returns the source's custom metadata, with the JSON items that they hold as the rules change them."""
    custom = plan.source.metadata
    items = kept_items(custom)
    contents = {name: one for name, one in plan.config.contents.items() if name not in plan.source.extras}
    return with_items(custom, {name: contents.get(name, content) for name, content in items.items()})
