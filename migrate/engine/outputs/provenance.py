"""The metadata of the new checkpoint: its structure, its history, and the source's own custom metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from migrate.engine.items import SINGLE, item_plans, recorded_tree
from migrate.git_commit import git_commit
from migrate.metadata import Metadata, Migration, installed_versions, merge, now, with_items
from migrate.planning.model import Plan
from migrate.planning.model_fields import custom_metadata, model_fields

CHECKPOINTER = "migrate"
"""What the record of a new checkpoint names as its checkpointer."""


def new_metadata(plan: Plan, source_fingerprint: str | None = None, *, digests: str | None = None) -> Mapping[str, Any]:
    """Returns the custom metadata of the new checkpoint.

    Args:
      plan: the plan that is carried out.
      source_fingerprint: identifies the source's files (`SourceState.digest`).
      digests: where the new checkpoint records the digests of its values; None if it records none.
    """
    before = Metadata.from_json(plan.source.metadata) or Metadata()
    written = recorded_tree(plan.target)
    record = Metadata(
        structure_hash=written.structure_hash,
        leaves=written.signature,
        source_structure_hash=plan.source.structure_hash,
        source_fingerprint=source_fingerprint,
        digests=digests,
        code=git_commit(),
        versions=installed_versions(),
        step=plan.source.step if plan.source.step is not None else before.step,
        checkpointer=CHECKPOINTER,
        history=(*before.history, *_migrations(plan)),
        **model_fields(plan, before),
    )
    return merge(_with_items(plan), record)


def _migrations(plan: Plan) -> Iterator[Migration]:
    """Yields a row for each rule file; all rows have the digest of the plan that carries them out."""
    date = now()
    for one in plan.applied:
        name = one.rules.name or one.rules.path
        yield Migration(name, one.rules.digest, one.source_structure_hash, plan.digest, date)


def _with_items(plan: Plan) -> Mapping[str, Any]:
    """Returns the source's custom metadata, with its JSON items where the new checkpoint has no items."""
    custom = custom_metadata(plan)
    is_single = item_plans(plan)[0].name == SINGLE
    return with_items(custom, plan.json_items) if plan.extras and is_single else custom
