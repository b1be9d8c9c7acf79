"""An existing DST as the finished result of the same plan on the same source: then there is nothing to apply."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from migrate.engine.items import item_plans, recorded_tree
from migrate.engine.workspace.source_state import SourceState
from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.formats.reader import AbstractCheckpoint, Reader
from migrate.metadata import Metadata
from migrate.planning.model import Plan


def earlier_result(
    plan: Plan, reader: Reader, place: Path, as_asked: Callable[[AbstractCheckpoint], bool]
) -> Metadata | None:
    """Returns the record of DST if DST is the finished result of this plan on this source, unchanged since.

    Only metadata is read: the plan's digest and the source's files as DST records them, its structure and its layout.
    None for everything else, also for a DST without a record.

    Args:
      plan: the plan as it is carried out.
      reader: the source.
      place: DST, absolute.
      as_asked: whether an existing result is what the options of the caller ask for.
    """
    try:
        with open_reader(place) as written:
            found = written.abstract()
            record = Metadata.from_json(found.metadata)
    except (CheckpointError, OSError):
        return None
    if record is None or not record.history or record.history[-1].plan_digest != plan.digest:
        return None
    if found.steps or not _is_unchanged(found, record, plan) or not as_asked(found):
        return None
    return record if record.source_fingerprint == SourceState.now(reader).digest else None


def _is_unchanged(found: AbstractCheckpoint, record: Metadata, plan: Plan) -> bool:
    """Returns whether structure and layout are those that the plan writes and the record names."""
    meant = recorded_tree(plan.target).structure_hash
    same_items = set(found.items) == {item.name for item in item_plans(plan)}
    return same_items and found.structure_hash == record.structure_hash == meant
