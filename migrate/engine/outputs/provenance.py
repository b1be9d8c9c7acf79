"""The metadata of the new checkpoint: its structure, its history, and the source's own custom metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrate.engine.items import SINGLE, item_plans, recorded_tree
from migrate.git_commit import git_commit
from migrate.metadata import KEY, Metadata, Migration, installed_versions, merge, now
from migrate.planning.model import Plan

CHECKPOINTER = "migrate"
"""What the record of a new checkpoint names as its checkpointer."""

ITEMS = "items"
"""The key of the source's JSON items where the new checkpoint is one pytree, which has no items."""


def new_metadata(plan: Plan, source_fingerprint: str | None = None, *, digests: str | None = None) -> Mapping[str, Any]:
    """Returns the custom metadata of the new checkpoint.

    Args:
      plan: the plan that is carried out.
      source_fingerprint: identifies the source's files (`SourceState.digest`).
      digests: where the new checkpoint records the digests of its values; None if it records none.
    """
    before = Metadata.from_json(plan.source.metadata) or Metadata()
    rules, target, written = plan.rules, plan.rules.target, recorded_tree(plan.target)
    record = Metadata(
        model=target.model or before.model,
        version=target.version if target.version is not None else before.version,
        structure_hash=written.structure_hash,
        leaves=written.signature,
        source_structure_hash=plan.source.structure_hash,
        source_fingerprint=source_fingerprint,
        digests=digests,
        code=git_commit(),
        versions=installed_versions(),
        step=plan.source.step if plan.source.step is not None else before.step,
        checkpointer=CHECKPOINTER,
        **_model_fields(plan, before, target.args),
        history=(
            *before.history,
            Migration(rules.name or rules.path, rules.digest, plan.source.structure_hash, plan.digest, now()),
        ),
    )
    return merge(_with_items(plan), record)


def _model_fields(plan: Plan, before: Metadata, args: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields that describe the model: those of the template; without one, what the rules do not change."""
    facts = plan.model_facts
    kept = {"graph_digest": before.graph_digest, "code_digests": before.code_digests} if not plan.rules.count else {}
    return {
        **(facts or kept),
        "hyperparameters": {**facts.get("hyperparameters", {}), **args} or before.hyperparameters,
        "transforms": facts.get("transforms") or before.transforms,
    }


def _with_items(plan: Plan) -> Mapping[str, Any]:
    """Returns the source's custom metadata, with its JSON items where the new checkpoint has no items."""
    custom = plan.source.metadata
    if not plan.extras or item_plans(plan)[0].name != SINGLE:
        return custom
    kept = {name: plan.source.extras[name] for name in plan.extras}
    return {**custom, KEY: {**custom.get(KEY, {}), ITEMS: kept}}
