"""The Orbax output: a directory that plain Orbax restores. It is the default."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from migrate.codes import NoCheckpoint
from migrate.engine.items import SINGLE, ItemPlan, item_plans
from migrate.engine.linking.link import Link
from migrate.engine.linking.orphans import remove_orphans
from migrate.engine.linking.relink import relink
from migrate.engine.options import ApplyOptions
from migrate.engine.outputs.base import Output, Staged
from migrate.engine.outputs.orbax_commit import CommittedItem, commit_item, commit_step
from migrate.engine.outputs.orbax_store import Staging
from migrate.engine.outputs.provenance import new_metadata
from migrate.engine.verification.digests import decode_links, verify_digests
from migrate.engine.verification.links import check_links
from migrate.engine.verification.record_file import write_record
from migrate.engine.verification.recorded import new_record
from migrate.engine.workspace.directory import Workspace
from migrate.engine.workspace.resume import database_arrays
from migrate.errors import CheckpointError, Diagnostic, listed
from migrate.events import Listener
from migrate.formats.detect import open_reader
from migrate.formats.digest_record import Blocks
from migrate.formats.files import children, is_dir, is_file
from migrate.formats.orbax.entries import foreign_entries
from migrate.formats.orbax.step import holds_item, holds_items
from migrate.formats.reader import Reader
from migrate.formats.steps import is_root
from migrate.planning.model import Plan
from migrate.tree import KeyPath


class OrbaxOutput(Output):
    """A directory: one pytree, or the items of a step."""

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
        return plan

    def objections(self, compression: str | None) -> Iterator[Diagnostic]:
        del compression
        yield from ()

    def stored_arrays(self, item: ItemPlan, store: Path) -> Collection[str]:
        del item
        return database_arrays(store)

    def open_store(self, plan: Plan, reader: Reader, item: ItemPlan, store: Path, options: ApplyOptions) -> Staging:
        del reader, item
        return Staging(store, zarr3=plan.source.zarr3, compression=options.compression, jobs=options.workers)

    def commit(self, plan: Plan, staged: Staged, links: Sequence[Link], work: Workspace, *, resumed: bool) -> Staged:
        """Links the arrays that were not streamed, and saves both kinds."""
        stores = {item.name: work.store(item.name) for item in item_plans(plan)}
        linked = relink(links, stores)
        if resumed:
            for store in stores.values():
                remove_orphans(store)
        everything = Staged({**staged.arrays, **linked.arrays}, staged.values, linked.dead_bytes)
        metadata = new_metadata(plan, work.source)
        items = {item.name: _item(item, everything, work) for item in item_plans(plan)}
        if SINGLE in items:
            commit_item(work.result, items[SINGLE], metadata, zarr3=plan.source.zarr3)
        else:
            extras = {name: plan.source.extras[name] for name in plan.extras}
            commit_step(work.result, items, extras, metadata, zarr3=plan.source.zarr3)
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
        write_record(result, new_record(plan, digests, staged.values, None))

    def check_values(
        self, plan: Plan, reader: Reader, result: Path, listener: Listener, digests: dict[KeyPath, Blocks] | None = None
    ) -> int:
        from migrate.engine.verification.values import verify  # imports JAX and Orbax

        return verify(plan, reader, result, listener=listener, digests=digests)


OUTPUT = OrbaxOutput()


def _item(item: ItemPlan, staged: Staged, work: Workspace) -> CommittedItem:
    paths = {inner: item.prefix + inner for inner in item.tree.leaves}
    arrays = {inner: staged.arrays[path] for inner, path in paths.items() if path in staged.arrays}
    values = {inner: staged.values[path] for inner, path in paths.items() if path in staged.values}
    return CommittedItem(item.tree, arrays, work.store(item.name), values)
