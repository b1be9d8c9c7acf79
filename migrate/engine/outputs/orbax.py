"""The Orbax output: a directory that plain Orbax restores. It is the default."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from migrate.codes import NoCheckpoint
from migrate.engine.items import SINGLE, ItemPlan, copied_items, item_plans
from migrate.engine.linking.link import Link
from migrate.engine.linking.orphans import remove_orphans
from migrate.engine.linking.relink import relink
from migrate.engine.options import ApplyOptions
from migrate.engine.outputs.base import Output, Staged
from migrate.engine.outputs.orbax_commit import CommittedItem, CopiedItem, commit_item, commit_step
from migrate.engine.outputs.orbax_store import BATCH_BYTES, Staging
from migrate.engine.outputs.plain_names import unusable_names
from migrate.engine.outputs.provenance import new_metadata
from migrate.engine.streaming.allocator import return_freed_memory
from migrate.engine.verification.digests import decode_links, verify_digests
from migrate.engine.verification.links import check_links
from migrate.engine.verification.record_file import write_record
from migrate.engine.verification.recorded import new_record
from migrate.engine.workspace.directory import Workspace
from migrate.engine.workspace.resume import database_arrays, folder_arrays, has_nested_names
from migrate.errors import CheckpointError, listed
from migrate.events import Listener
from migrate.formats.detect import open_reader
from migrate.formats.digest_record import FILE, Blocks, small_files
from migrate.formats.files import children, is_dir, is_file
from migrate.formats.item_kinds import BARE
from migrate.formats.orbax.entries import foreign_entries
from migrate.formats.orbax.step import holds_item, holds_items
from migrate.formats.reader import Reader
from migrate.formats.steps import is_root
from migrate.places.bucket_path import BucketPath
from migrate.planning.model import Plan
from migrate.tree import KeyPath

BUCKET_SHARE = 4
"""The part of the budget that holds the arrays of a transaction in a bucket: a quarter."""


class OrbaxOutput(Output):
    """A directory: one pytree, or the items of a step.

    Attributes:
      shares_files: whether the files of the source stay beside the result anyway.
    """

    shares_files = False

    def recognizes(self, written: Path) -> bool:
        return not is_file(written)

    def foreign_entries(self, written: Path) -> Sequence[str]:
        if not is_dir(written) or is_root(written) or not (holds_item(written) or holds_items(written)):
            names = [child.name for child in children(written)] if is_dir(written) else []
            message = f"`{written}` is not one Orbax checkpoint{f': it holds {listed(names, 5)}' if names else ''}"
            raise CheckpointError(NoCheckpoint.at(message))
        open_reader(written).close()
        return list(foreign_entries(written))

    def fit(self, plan: Plan) -> Plan:
        """Streams the items that are one array: their chunks are few, and their array has another name.

        Names that plain zarr cannot store as directories are errors.
        """
        items = item_plans(plan)
        bare = {item.prefix for item in items if item.kind.bare}
        tasks = (replace(task, mode="stream") if bare.intersection(task.targets) else task for task in plan.tasks)
        problems = [problem for item in items if item.plain for problem in unusable_names(item)]
        if not bare and not problems:
            return plan
        return replace(plan, tasks=tuple(tasks), diagnostics=tuple(dict.fromkeys((*plan.diagnostics, *problems))))

    def shared_items(self, plan: Plan) -> Collection[str]:
        """Returns the items that are no single array, unless the keys of an array are among those of another one."""
        return {item.name for item in item_plans(plan) if not item.kind.bare and not has_nested_names(item)}

    def stored_arrays(self, item: ItemPlan, store: Path) -> Collection[str]:
        return folder_arrays(store) if item.plain else database_arrays(store)

    def open_store(self, plan: Plan, reader: Reader, item: ItemPlan, store: Path, options: ApplyOptions) -> Staging:
        del reader
        return Staging(
            store,
            zarr3=item.is_zarr3(plan),
            compression=options.compression,
            jobs=options.workers,
            plain=item.plain,
            name=item.stored_name(()) if item.kind.bare else None,
            batch_bytes=batch_bytes(store, options.max_ram),
        )

    def reserved_bytes(self, place: Path, max_ram: int) -> int:
        """Returns the size of a transaction in a bucket; a local one is small."""
        return batch_bytes(place, max_ram) - BATCH_BYTES

    def commit(self, plan: Plan, staged: Staged, links: Sequence[Link], work: Workspace, *, resumed: bool) -> Staged:
        """Links the arrays that were not streamed, and saves both kinds."""
        plans = item_plans(plan)
        stores = {item.name: work.store(item.place) for item in plans}
        linked = relink(links, stores, shared=self.shares_files)
        return_freed_memory()  # the indexes of the databases
        if resumed:
            for item in plans:
                if not item.plain:
                    remove_orphans(stores[item.name])
        everything = Staged({**staged.arrays, **linked.arrays}, staged.values, linked.dead_bytes)
        metadata = new_metadata(plan, work.source, digests=FILE)
        items = {item.name: _item(plan, item, everything, work) for item in plans}
        if SINGLE in items:
            commit_item(work.result, items[SINGLE], metadata)
        else:
            handlers = plan.source.handlers
            copied = {name: CopiedItem(place, handlers.get(name)) for name, place in copied_items(plan).items()}
            commit_step(work.result, items, plan.json_items, metadata, copied)
        return everything

    def check_digests(
        self,
        plan: Plan,
        result: Path,
        digests: Mapping[KeyPath, str],
        links: Sequence[Link],
        options: ApplyOptions,
        listener: Listener,
    ) -> int:
        how = {"max_ram": options.max_ram, "jobs": options.workers}
        return verify_digests(plan, result, digests, listener=listener, **how) + check_links(links, result)

    def decode_links(
        self,
        plan: Plan,
        result: Path,
        links: Sequence[Link],
        options: ApplyOptions,
        listener: Listener,
    ) -> Mapping[KeyPath, Blocks]:
        how = {"max_ram": options.max_ram, "jobs": options.workers}
        return decode_links(plan, result, links, listener=listener, **how) if links else {}

    def record_digests(self, plan: Plan, result: Path, digests: Mapping[KeyPath, Blocks], staged: Staged) -> None:
        """Writes the record as a file of its own, which Orbax ignores."""
        record = new_record(plan, digests, staged.values, None)
        write_record(result, replace(record, files=small_files(result)))

    def check_values(
        self,
        plan: Plan,
        reader: Reader,
        result: Path,
        listener: Listener,
        digests: dict[KeyPath, Blocks] | None = None,
        *,
        follow_links: bool = False,
    ) -> int:
        from migrate.engine.verification.values import verify  # imports JAX and Orbax

        return verify(plan, reader, result, listener=listener, digests=digests, follow_links=follow_links)


OUTPUT = OrbaxOutput()


def batch_bytes(store: Path, max_ram: int) -> int:
    """Returns the size of a transaction: a bucket takes about one write a second of one name, that of the manifest."""
    return max(BATCH_BYTES, min(max_ram // BUCKET_SHARE, 1 << 30)) if isinstance(store, BucketPath) else BATCH_BYTES


def _item(plan: Plan, item: ItemPlan, staged: Staged, work: Workspace) -> CommittedItem:
    paths = {inner: item.prefix + inner for inner in item.tree.leaves}
    arrays = {inner: staged.arrays[path] for inner, path in paths.items() if path in staged.arrays}
    values = {inner: staged.values[path] for inner, path in paths.items() if path in staged.values}
    tree = item.tree
    if item.kind.bare:
        tree = tree.prefixed((BARE,))
        (array,) = arrays.values()
        arrays = {(BARE,): replace(array, key_impl=None)}
    store = work.store(item.place)
    return CommittedItem(tree, arrays, store, values, item.kind, zarr3=item.is_zarr3(plan), plain=item.plain)
