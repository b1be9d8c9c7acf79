"""The output of a single file, or of a folder of files: arrays are staged at their final offsets."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from migrate import dtypes
from migrate.codes import InvalidUsage, NoCheckpoint
from migrate.engine.items import SINGLE, ItemPlan, item_plans, stored_name
from migrate.engine.linking.hard_links import link_file
from migrate.engine.options import DEFAULT_SHARD, ApplyOptions
from migrate.engine.outputs.base import Output, Staged
from migrate.engine.outputs.file_layout import FileFormat, FileLayout
from migrate.engine.outputs.file_store import FileStore, file_of, recall, remember
from migrate.engine.outputs.provenance import new_metadata
from migrate.engine.streaming.array_bytes import digest
from migrate.engine.streaming.pieces import batches
from migrate.engine.verification.compare import differences
from migrate.engine.verification.findings import differs, refuse, report, structure_problems
from migrate.engine.verification.leaf_digests import READ_BYTES, extent_digest, in_parallel
from migrate.engine.verification.recorded import new_record
from migrate.engine.verification.value_change import ValueChange
from migrate.engine.workspace.directory import Workspace
from migrate.engine.workspace.source_state import SourceState
from migrate.errors import CheckpointError, Diagnostic
from migrate.events import Listener
from migrate.formats.base import Value
from migrate.formats.detect import open_reader
from migrate.formats.digest_record import BLOCK_DIGITS, HEADER_KEY, Blocks, blocks_of
from migrate.formats.files import is_file
from migrate.formats.reader import Reader
from migrate.places.copies import copy_files
from migrate.places.writable_path import WritableBucketPath
from migrate.planning.model import Plan
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, stored_path

if TYPE_CHECKING:
    from migrate.engine.linking.link import Link

BATCH_BYTES = 32 << 20
"""Leaves are compared together up to this size."""


class FileOutput(Output):
    """A single file, or several, whose layout a `FileFormat` decides."""

    is_orbax = False
    shares_in_place = True

    def __init__(self, form: FileFormat) -> None:
        self.form = form

    def recognizes(self, written: Path) -> bool:
        return is_file(written) and self.form.recognizes(written)

    def foreign_entries(self, written: Path) -> Sequence[str]:
        if not self.recognizes(written):
            raise CheckpointError(NoCheckpoint.at(f"`{written}` is not a {self.form.name} file"))
        open_reader(written).close()
        return ()

    def fit(self, plan: Plan) -> Plan:
        """Streams everything into one pure dict: chunks cannot be linked into a file, and a file has no items.

        With a template, the pure dict has no boxes; without one, leaves keep the boxes that they had.
        """
        problems = self.form.problems(plan.target)
        target = self.form.held(plan.target, boxes=plan.template is None)
        layout: Literal["pure_dict", "state"] = "pure_dict" if plan.rules.target.layout == "pure_dict" else "state"
        return replace(
            plan,
            target=target,
            tasks=tuple(task.with_mode("stream") for task in plan.tasks),
            created=tuple(replace(c, leaf=target.leaves.get(c.target, c.leaf)) for c in plan.created),
            rules=replace(plan.rules, target=replace(plan.rules.target, layout=layout)),
            diagnostics=tuple(dict.fromkeys((*plan.diagnostics, *problems))),
            as_step=False,
        )

    def objections(self, options: ApplyOptions) -> Iterator[Diagnostic]:
        yield from super().objections(options)
        if options.compression not in (None, "none"):
            yield InvalidUsage.at(f"a {self.form.name} file is not compressed", help="remove `--compression`")

    def stored_arrays(self, item: ItemPlan, store: Path) -> Collection[str]:
        names = {stored_name(path, leaf) for path, leaf in item.tree.leaves.items()}
        return names if recall(store) else set()

    def shared_items(self, plan: Plan) -> Collection[str]:
        """Returns the item: every process writes its arrays at their offsets."""
        return {item.name for item in item_plans(plan)}

    def prepare_shares(self, plan: Plan, reader: Reader, work: Workspace, options: ApplyOptions) -> None:
        """Creates the file, which decides the offsets: processes that began at the same time could each create one."""
        (item,) = item_plans(plan)
        self._prepared(plan, reader, item, work.store(item.place), options)

    def open_share(self, plan: Plan, reader: Reader, item: ItemPlan, store: Path, options: ApplyOptions) -> FileStore:
        """Opens the file that the run has created."""
        return FileStore(store, self._prepared(plan, reader, item, store, options), self.form.encoded)

    @contextmanager
    def open_store(
        self, plan: Plan, reader: Reader, item: ItemPlan, store: Path, options: ApplyOptions
    ) -> Iterator[FileStore]:
        layout = self._prepared(plan, reader, item, store, options)
        with FileStore(store, layout, self.form.encoded) as opened:
            yield opened

    def _prepared(self, plan: Plan, reader: Reader, item: ItemPlan, store: Path, options: ApplyOptions) -> FileLayout:
        """Returns the layout of the staged files, which are created if there are none."""
        note = recall(store)
        if note is not None:
            return self._layout(item.tree, note)
        texts = _texts(plan, reader)
        record = self._record(plan, texts, None)
        place = HEADER_KEY if record else None
        metadata = new_metadata(plan, SourceState.now(reader).digest, digests=place)
        shard = options.max_shard_size or DEFAULT_SHARD
        note = {"metadata": {**metadata, **record}, "texts": texts, "shard_bytes": shard}
        layout = self._layout(item.tree, note)
        remember(store, note, layout.sizes)
        return layout

    def _layout(self, tree: AbstractTree, note: Mapping[str, Any]) -> FileLayout:
        return self.form.layout(tree, note["metadata"], _by_path(note["texts"]), note["shard_bytes"])

    def _record(self, plan: Plan, texts: _TextRows, staged: Staged | None) -> Mapping[str, str]:
        """Returns the metadata entry with the digests of all leaves; before they are staged, one of the same length."""
        names, strings = self.form.stored_names(plan.target), _by_path(texts)
        if names is None:
            return {}
        if staged is not None:
            return {HEADER_KEY: new_record(plan, staged.blocks, strings, names).to_text()}
        blank = {
            path: ("0" * BLOCK_DIGITS,) * len(list(blocks_of(leaf.nbytes)))
            for path, leaf in plan.target.leaves.items()
            if leaf.is_numeric
        }
        return {HEADER_KEY: new_record(plan, blank, strings, names).to_text()}

    def commit(self, plan: Plan, staged: Staged, links: Sequence[Link], work: Workspace, *, resumed: bool) -> Staged:
        """Completes the files and links or uploads them; staged files stay for the next run if this one fails."""
        del links, resumed
        store, (item,) = work.store(SINGLE), item_plans(plan)
        note = recall(store)
        assert note is not None
        note = {**note, "metadata": {**note["metadata"], **self._record(plan, note["texts"], staged)}}
        layout = self._layout(item.tree, note)
        with FileStore(store, layout, self.form.encoded) as opened:
            opened.finish(layout.fixed)
        self.assemble(store, layout, work.result)
        return staged

    def assemble(self, store: Path, layout: FileLayout, result: Path) -> None:
        """Links the completed files as the result, or uploads them to a bucket."""
        (name,) = layout.sizes
        if isinstance(result, WritableBucketPath):
            copy_files([(file_of(store, name), result)])
        else:
            link_file(file_of(store, name), result)

    def check_digests(
        self,
        plan: Plan,
        result: Path,
        digests: Mapping[KeyPath, str],
        links: Sequence[Link],
        options: ApplyOptions,
        listener: Listener,
    ) -> int:
        """Reads each array where the format's reader locates it, part by part."""
        del links
        written = open_reader(result, unbox="never")
        with written:
            refuse(structure_problems(plan, written.abstract()))
            stored = {path: stored_path(path, plan.target.leaves[path]) for path in digests}
            places = {path: written.extents(place) for path, place in stored.items()}
            numbers = {
                path: _number_digest(written.read(stored[path]), plan.target.leaves[path])
                for path, place in places.items()
                if place is None
            }
        problems: list[Diagnostic] = []
        workers = max(1, min(options.workers, options.max_ram // (2 * READ_BYTES)))
        located = {path: place for path, place in places.items() if place is not None}
        sizes = {path: sum(extent.nbytes for extent in place) for path, place in located.items()}
        digests_of = partial(extent_digest, crc=False, blocks=False)
        arrays = in_parallel(lambda path: str(digests_of(located[path])), located, workers, sizes.__getitem__)
        for path, found in itertools.chain(numbers.items(), arrays):
            if found != digests[path]:
                problems.append(differs(path, "its digest is not that of what was written"))
            report([path], plan, listener)
        refuse(problems)
        return len(digests)

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
        del digests  # every array was written, so that all digests are known
        problems: list[Diagnostic] = []
        changes: dict[KeyPath, ValueChange] = {}
        compared = 0
        with open_reader(result, unbox="never", follow_links=follow_links) as written:
            refuse(structure_problems(plan, written.abstract()))
            for meant in batches(plan, reader, BATCH_BYTES):
                found = {path: written.read(stored_path(path, plan.target.leaves[path])) for path in meant}
                problems += differences(plan, meant, found, changes)
                compared += len(meant)
                report(meant, plan, listener)
        refuse(problems, changes)
        return compared


_TextRows = Sequence[tuple[KeyPath, str]]
"""The strings of a tree, as JSON can record them."""


def _by_path(rows: _TextRows) -> Mapping[KeyPath, str]:
    return {tuple(path): text for path, text in rows}


def _texts(plan: Plan, reader: Reader) -> _TextRows:
    """Returns the strings of the target; no op makes a string, so each is a string of the source."""
    return [
        (path, reader.read(task.sources[0]))
        for task in plan.tasks
        for path in task.targets
        if plan.target.leaves[path].kind == "string"
    ]


def _number_digest(value: Value, leaf: AbstractLeaf) -> str:
    """Returns the digest of a number that the format encodes in its own way."""
    assert leaf.aval is not None
    return digest(np.asarray(value, dtypes.to_numpy(leaf.aval.dtype)))
