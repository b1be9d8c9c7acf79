"""Joins the databases of shares: their arrays get their keys in the staging stores, by reference.

The entries of a share's database record the file and the byte range of a value. One atomic transaction copies them, so
that a killed run leaves either none of them or all, and copies them again when it is resumed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import tensorstore as ts

from migrate.codes import WriteFailed
from migrate.engine.items import item_of, item_plans
from migrate.engine.linking.open_stores import OPTIONS, copying_context, open_database
from migrate.engine.linking.orphans import remove_orphans, remove_unfinished
from migrate.engine.workspace.attempts import Attempt
from migrate.engine.workspace.directory import Workspace
from migrate.engine.workspace.resume import Shared, database_arrays
from migrate.errors import MigrateError, listed
from migrate.formats.base import key_prefix
from migrate.planning.model import Plan


def merge_shares(plan: Plan, work: Workspace, shared: Shared) -> None:
    """Gives every array of a share its keys in the staging store of its item, and removes attempts without arrays.

    Args:
      plan: the plan.
      work: the working directory.
      shared: the arrays, each with the attempt that staged it.

    Raises:
      MigrateError: a database of a share lacks an array (`WriteFailed`).
    """
    work.remove_attempts({found.attempt for found in shared.values()})
    if not shared:
        return
    owner = item_of(item_plans(plan))
    of_item: dict[str, dict[Attempt, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, found in shared.items():
        of_item[owner[path].place][found.attempt].append(found.array.name)
    for place, attempts in of_item.items():
        _merge(work, place, attempts)


def _merge(work: Workspace, place: str, attempts: Mapping[Attempt, Sequence[str]]) -> None:
    store = work.store(place)
    context = copying_context()
    target = open_database(store, context, config=OPTIONS, assume_config=True)
    transaction = ts.Transaction(atomic=True)
    writing = target.with_transaction(transaction)
    requests = []
    for attempt, names in attempts.items():
        remove_unfinished(store / attempt.folder)
        remove_orphans(store / attempt.folder)
        source = open_database(store / attempt.folder, context)
        prefixes = map(key_prefix, names)
        requests += [(source / each).experimental_copy_range_to(writing / each) for each in prefixes]
    for request in requests:
        request.result()
    transaction.commit_async().result()
    _refuse_lost({name for names in attempts.values() for name in names} - database_arrays(store))


def _refuse_lost(names: Collection[str]) -> None:
    if names:
        message = f"the databases of the shares lack {listed(sorted(names), 5)}, which their journals name"
        raise MigrateError(WriteFailed.at(message, help="run the same command again; it stages them again"))
