"""Resuming: which arrays of an earlier run of the same plan are still valid.

The plan's digest covers structure. Whether the staged values are still valid also depends on the source's files, the
codec and the version of migrate. Where any of them has changed, everything is staged again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import tensorstore as ts

from migrate.codes import LeftoverWorkspace
from migrate.engine.items import ItemPlan, item_of, item_plans, stored_name
from migrate.engine.linking.open_stores import open_database, open_folder
from migrate.engine.linking.orphans import remove_unfinished
from migrate.engine.options import ApplyOptions
from migrate.engine.staged_array import StagedArray
from migrate.engine.workspace.attempts import Attempt, attempts
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


class Stores(Protocol):
    """The staging stores of an output, as far as a resumed run has to know them; see `Output`."""

    shares_in_place: bool

    def stored_arrays(self, item: ItemPlan, store: Path) -> Collection[str]:
        """Returns the names of the arrays that the store of an item contains."""

    def share_store(self, store: Path, folder: str) -> Path:
        """Returns the directory in which an attempt at a share stages arrays."""


_METADATA_KEYS = tuple(key.encode() for key in METADATA_KEYS.values())


def origin(plan: Plan, source: SourceState, options: ApplyOptions) -> Origin:
    """Returns the origin of staged arrays; arrays of another origin are not reused.

    Args:
      plan: the plan.
      source: the source's files, as they are at the start of the run.
      options: the compression of all arrays and the size of files.
    """
    return {
        "plan": plan.digest,
        "source": source.digest,
        "compression": options.compression,
        "shard": options.max_shard_size,
        "migrate": __version__,
    }


class SharedArray(NamedTuple):
    """An array that an attempt at a share made durable."""

    attempt: Attempt
    array: StagedArray


Shared = Mapping[KeyPath, SharedArray]


@dataclass(frozen=True, slots=True)
class Finished:
    """The arrays of earlier runs that need not be staged again.

    Attributes:
      own: those that the journal of the run names.
      shared: those that attempts at shares staged.
    """

    own: Mapping[KeyPath, StagedArray]
    shared: Shared

    @property
    def arrays(self) -> Mapping[KeyPath, StagedArray]:
        """All of them."""
        return {**{path: found.array for path, found in self.shared.items()}, **self.own}


def finished(plan: Plan, work: Workspace, now: Origin, stores: Stores, *, code: bool = False) -> Finished:
    """Returns the arrays that need not be staged again; without any, the working directory is emptied.

    Leaves that the user's own code computes are always staged again: that code may have changed.

    Args:
      plan: the plan.
      work: the working directory; receives a note about the earlier run.
      now: the origin of the arrays of this run.
      stores: the staging stores.
      code: whether such leaves of shares are kept, because the shares are parts of the same run.
    """
    there_was_one = work.journal.exists()
    named = read_journal(work.journal, now)
    kept = _still_there(plan, work, named or {}, stores)
    others = shared_arrays(plan, work, now, stores, code=code)
    shared = {path: found for path, found in others.items() if path not in kept}
    keep = {found.attempt for found in shared.values()}
    if not kept:
        work.start_over(keep, stores=stores.shares_in_place)
    else:
        work.remove_attempts(keep)
    if there_was_one and not code:
        work.notes.append(_note(plan, work, {**kept, **shared}, changed=named is None))
    return Finished(kept, shared)


def shared_arrays(
    plan: Plan, work: Workspace, now: Origin, stores: Stores, *, share: int | None = None, code: bool = False
) -> Shared:
    """Returns the arrays that attempts at shares staged, each of the latest attempt that has it.

    Args:
      plan: the plan.
      work: the working directory.
      now: the origin that the arrays must have.
      stores: the staging stores.
      share: the number of the share (default: those of all shares).
      code: whether leaves that the user's own code computes are among them.
    """
    of_share = [attempt for attempt in attempts(work.path) if share in (None, attempt.share)]
    if not of_share:
        return {}
    items = item_plans(plan)
    owner, excluded = item_of(items), frozenset() if code else frozenset(_made_by_code(plan))
    found: dict[KeyPath, SharedArray] = {}
    for attempt in of_share:
        named = read_journal(attempt.journal, now) or {}
        stored = {
            item.name: stores.stored_arrays(item, stores.share_store(work.store(item.place), attempt.folder))
            for item in items
            if named
        }
        for path, array in named.items():
            item = owner.get(path)
            if item and path not in excluded and array.name in stored[item.name]:
                found[path] = SharedArray(attempt, array)
    return found


def _note(plan: Plan, work: Workspace, kept: Collection[KeyPath], *, changed: bool) -> Diagnostic:
    if changed and not kept:
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
    plan: Plan, work: Workspace, named: Mapping[KeyPath, StagedArray], stores: Stores
) -> dict[KeyPath, StagedArray]:
    if not named:
        return {}
    items = item_plans(plan)
    if any(has_nested_names(item) for item in items):
        return {}
    for item in items:
        remove_unfinished(work.store(item.place))
    owner, made_by_code = item_of(items), set(_made_by_code(plan))
    stored = {item.name: stores.stored_arrays(item, work.store(item.place)) for item in items}
    kept = {}
    for path, staged in named.items():
        leaf = plan.target.leaves.get(path)
        if leaf is None or not leaf.is_numeric or path in made_by_code:
            continue
        item = owner[path]
        if staged.name == item.stored_name(item.inner(path)) and staged.name in stored[item.name]:
            kept[path] = staged
    return kept


def has_nested_names(item: ItemPlan) -> bool:
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
