"""Joins what attempts at shares staged: their arrays get their places in the staging stores.

The entries of an attempt's database record the file and the byte range of a value. One atomic transaction copies them,
so that a killed run leaves either none of them or all, and copies them again when it is resumed. The directories of
plain zarr are moved, and the journal of the run then names their arrays. A single file has nothing to join.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import tensorstore as ts

from migrate.codes import WriteFailed
from migrate.engine.items import ItemPlan, item_of, item_plans
from migrate.engine.linking.new_files import file_key, sync_each
from migrate.engine.linking.open_stores import OPTIONS, copying_context, open_database
from migrate.engine.linking.orphans import remove_orphans, remove_unfinished
from migrate.engine.sharing.workers import Errand
from migrate.engine.staged_array import StagedArray
from migrate.engine.workspace.attempts import Attempt
from migrate.engine.workspace.directory import Workspace
from migrate.engine.workspace.journal import open_journal
from migrate.engine.workspace.resume import Shared, database_arrays
from migrate.errors import MigrateError, listed
from migrate.formats.base import key_prefix
from migrate.places.names import refresh
from migrate.tree import KeyPath

_Arrays = Mapping[Attempt, Mapping[KeyPath, StagedArray]]
"""The arrays of one item, by the attempt that staged them."""


def merge_shares(errand: Errand, shared: Shared) -> None:
    """Gives every array of a share its place in the staging store of its item, and removes attempts without arrays.

    Args:
      errand: the run.
      shared: the arrays, each with the attempt that staged it.

    Raises:
      MigrateError: an array is missing in the database of an attempt (`WriteFailed`).
      OSError: a directory cannot be moved.
    """
    errand.work.remove_attempts({found.attempt for found in shared.values()})
    if errand.job.output.shares_in_place:
        return
    for item, arrays in _by_item(errand, shared):
        if item.plain:
            _move(errand, errand.work.store(item.place), arrays)
        else:
            _copy(errand.work, item.place, arrays)


def _by_item(errand: Errand, shared: Shared) -> Iterator[tuple[ItemPlan, _Arrays]]:
    items = item_plans(errand.job.plan)
    owner = item_of(items)
    found: dict[str, dict[Attempt, dict[KeyPath, StagedArray]]] = defaultdict(lambda: defaultdict(dict))
    for path, (attempt, array) in shared.items():
        found[owner[path].name][attempt][path] = array
    return ((item, found[item.name]) for item in items if item.name in found)


def _copy(work: Workspace, place: str, arrays: _Arrays) -> None:
    """Copies the entries of databases by reference."""
    store = work.store(place)
    refresh(store)
    context = copying_context()
    target = open_database(store, context, config=OPTIONS, assume_config=True)
    transaction = ts.Transaction(atomic=True)
    writing = target.with_transaction(transaction)
    requests = []
    for attempt, of_attempt in arrays.items():
        remove_unfinished(store / attempt.folder)
        remove_orphans(store / attempt.folder)
        source = open_database(store / attempt.folder, context)
        prefixes = [key_prefix(array.name) for array in of_attempt.values()]
        requests += [(source / each).experimental_copy_range_to(writing / each) for each in prefixes]
    for request in requests:
        request.result()
    transaction.commit_async().result()
    refresh(store)
    _refuse_lost({array.name for found in arrays.values() for array in found.values()} - database_arrays(store))


def _refuse_lost(names: Collection[str]) -> None:
    if names:
        message = f"the databases of the shares lack {listed(sorted(names), 5)}, which their journals name"
        raise MigrateError(WriteFailed.at(message, help="run the same command again; it stages them again"))


def _move(errand: Errand, store: Path, arrays: _Arrays) -> None:
    """Moves the directories of arrays; an array that a kill separates from its line in the journal is staged again."""
    with open_journal(errand.work.journal, errand.origin) as journal:
        for attempt, of_attempt in arrays.items():
            folder = store / attempt.folder
            names = [file_key(array.name) for array in of_attempt.values()]
            for name in names:
                with suppress(FileNotFoundError):  # a killed run may have begun the array
                    shutil.rmtree(store / name)
                (store / name).parent.mkdir(parents=True, exist_ok=True)
                os.rename(folder / name, store / name)
            sync_each({(store / name).parent for name in names})
            for path, array in of_attempt.items():
                journal.record(path, array)
            shutil.rmtree(folder)
