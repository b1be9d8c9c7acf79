"""Resuming: which arrays of an earlier run of the same plan are still valid.

The plan's digest covers structure. Whether the staged values are still valid also depends on the source's files, the
codec and the version of migrate. Where any of them has changed, everything is staged again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorstore as ts

from migrate.codes import LeftoverWorkspace
from migrate.engine.items import ItemPlan, item_of, item_plans, stored_name
from migrate.engine.linking.open_stores import open_database, open_folder
from migrate.engine.linking.orphans import remove_unfinished
from migrate.engine.staged_array import StagedArray
from migrate.engine.workspace.directory import Workspace
from migrate.engine.workspace.journal import read_journal
from migrate.engine.workspace.source_state import SourceState
from migrate.errors import Diagnostic
from migrate.formats.zarr.key_places import is_database
from migrate.formats.zarr.metadata import METADATA_KEYS
from migrate.planning.model import Plan
from migrate.tree import KeyPath
from migrate.version import __version__

Origin = Mapping[str, Any]

StoredArrays = Callable[[ItemPlan, Path], Collection[str]]
"""Returns the names of the arrays that the store of an item contains."""

_METADATA_KEYS = tuple(key.encode() for key in METADATA_KEYS.values())


def origin(plan: Plan, source: SourceState, compression: str | None) -> Origin:
    """Returns the origin of staged arrays; arrays of another origin are not reused.

    Args:
      plan: the plan.
      source: the source's files, as they are at the start of the run.
      compression: the compression of all arrays; None for each array's own.
    """
    return {
        "plan": plan.digest,
        "source": source.digest,
        "compression": compression,
        "migrate": __version__,
    }


def finished(plan: Plan, work: Workspace, now: Origin, stored: StoredArrays) -> Mapping[KeyPath, StagedArray]:
    """Returns the arrays that need not be staged again; without any, the working directory is emptied.

    Leaves that the user's own code computes are always staged again: that code may have changed.

    Args:
      plan: the plan.
      work: the working directory; receives a note about the earlier run.
      now: the origin of the arrays of this run.
      stored: returns the names of the arrays that a store contains.
    """
    there_was_one = work.journal.exists()
    named = read_journal(work.journal, now)
    kept = _still_there(plan, work, named or {}, stored)
    if not kept:
        work.start_over()
    if there_was_one:
        work.notes.append(_note(plan, work, kept, changed=named is None))
    return kept


def _note(plan: Plan, work: Workspace, kept: Mapping[KeyPath, StagedArray], *, changed: bool) -> Diagnostic:
    if changed:
        why = "the source, the options or the version of migrate have changed"
        return LeftoverWorkspace.at(
            f"no array of an earlier run in `{work.path}` can be reused: {why}", help="no action is needed"
        )
    of = sum(leaf.is_numeric for leaf in plan.target.leaves.values())
    return LeftoverWorkspace.at(
        f"resumed an earlier run, which had staged {len(kept)} of {of} arrays and numbers",
        help="no action is needed",
    )


def _still_there(
    plan: Plan, work: Workspace, named: Mapping[KeyPath, StagedArray], stored_arrays: StoredArrays
) -> dict[KeyPath, StagedArray]:
    if not named:
        return {}
    items = item_plans(plan)
    if any(_has_nested_names(item) for item in items):
        return {}
    for item in items:
        remove_unfinished(work.store(item.name))
    owner, made_by_code = item_of(items), set(_made_by_code(plan))
    stored = {item.name: stored_arrays(item, work.store(item.name)) for item in items}
    kept = {}
    for path, staged in named.items():
        leaf = plan.target.leaves.get(path)
        if leaf is None or not leaf.is_numeric or path in made_by_code:
            continue
        item = owner[path]
        if staged.name == item.stored_name(item.inner(path)) and staged.name in stored[item.name]:
            kept[path] = staged
    return kept


def _has_nested_names(item: ItemPlan) -> bool:
    """Returns whether one name is below another, as `a/b` below `a`: writing `a` again would clear both."""
    names = {stored_name(path, leaf) for path, leaf in item.tree.leaves.items() if leaf.is_numeric}
    return any(name[:end] in names for name in names for end, char in enumerate(name) if char == "/")


def _made_by_code(plan: Plan) -> Iterator[KeyPath]:
    for task in plan.tasks:
        if any(op.code for step in task.steps for op in step.ops):
            yield from task.targets
    yield from (c.target for c in plan.created if c.init is not None and c.init.kind == "template")


def database_arrays(store: Path) -> set[str]:
    """Returns the names of the arrays in a staging database; none where it is damaged, so that all are staged again."""
    if not is_database(store):
        return set()
    try:
        return _arrays_of(open_database(store, ts.Context()))
    except ValueError:
        return set()


def folder_arrays(store: Path) -> set[str]:
    """Returns the names of the arrays in a staging folder of plain zarr."""
    return _arrays_of(open_folder(store, ts.Context())) if store.is_dir() else set()


def _arrays_of(store: ts.KvStore) -> set[str]:
    parts = (key.rpartition(b"/") for key in store.list().result())
    return {name.decode() for name, _, last in parts if last in _METADATA_KEYS}
