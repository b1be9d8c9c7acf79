"""The digests that a source records: carried over to leaves that are linked, and compared with what is read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from migrate.engine.options import VerifyMode
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.inputs import UNCOMPARED, Inputs, refuse_changed_leaves
from migrate.engine.verification.chunk_places import ChunkFiles
from migrate.engine.verification.leaf_digests import leaf_digests
from migrate.engine.verification.stored_digests import UndecodableArray, undecodable
from migrate.formats.digest_record import Blocks, DigestRecord, LeafDigests
from migrate.formats.reader import AbstractCheckpoint, Reader
from migrate.planning.model import Plan
from migrate.tree import KeyPath, stored_path


def carried_digests(plan: Plan, known: Mapping[KeyPath, Blocks]) -> Mapping[KeyPath, Blocks]:
    """Returns the digests that the source records for arrays which are linked under another name or several.

    They are carried over only where no op takes part and shape and dtype are the same: values in C order survive a
    rename, but not a stack or a split.

    Args:
      plan: the plan.
      known: the digests that the source records (`recorded_digests`).
    """
    carried: dict[KeyPath, Blocks] = {}
    for task in plan.tasks:
        if task.mode == "stream" or task.steps:
            continue
        source = task.sources[0]
        for path in task.targets:
            if source in known and str(plan.source.tree.leaves[source]) == str(plan.target.leaves[path]):
                carried[path] = known[source]
    return carried


def inputs_of(plan: Plan, known: Mapping[KeyPath, Blocks], reader: Reader, *, verify: VerifyMode, jobs: int) -> Inputs:
    """Returns the comparison of what a plan reads with the digests that the source records.

    These are the leaves with data that are streamed; with `decode` and `full` also those that ops use where their
    arrays are linked. All other leaves of a plan keep their digests (`carried_digests`). With `none`, nothing is
    compared.

    Args:
      plan: the plan.
      known: the digests that the source records (`recorded_digests`).
      reader: the source.
      verify: the mode of the verification.
      jobs: the most arrays that are read at once in a pass of their own.
    """
    if verify == "none" or not known:
        return UNCOMPARED
    with_ops = verify in ("decode", "full")
    paths = (path for task in plan.tasks if task.mode == "stream" or (with_ops and task.steps) for path in task.sources)
    recorded = {path: known[path] for path in paths if known.get(path)}
    return Inputs(recorded, plan.source.tree.leaves, _places(reader), partial(_own_pass, reader, jobs))


def _own_pass(reader: Reader, jobs: int, paths: Collection[KeyPath], max_ram: int) -> Iterator[tuple[KeyPath, Blocks]]:
    for path, found in leaf_digests(reader, max_ram=max_ram, jobs=jobs, crc=False, paths=paths):
        if isinstance(found, UndecodableArray):
            raise undecodable(path, found, ChunkFiles())
        yield path, found


def uncompared(inputs: Inputs, plan: Plan, arrays: Mapping[KeyPath, StagedArray]) -> Sequence[KeyPath]:
    """Returns the leaves that are still to be compared once everything is staged.

    They are the sources of linked arrays, and those of arrays that a run without a verification staged.

    Args:
      inputs: the comparison of this run.
      plan: the plan.
      arrays: the staged arrays.
    """
    staged = {path for path, array in arrays.items() if array.compared}
    done = {path for task in plan.tasks if not staged.isdisjoint(task.targets) for path in task.sources}
    return [path for path in inputs.recorded if path not in done and path not in inputs.compared]


def refuse_changed(carried: Mapping[KeyPath, Blocks], found: Mapping[KeyPath, Blocks], reader: Reader) -> None:
    """Refuses a source whose values are no longer those that it records, as far as they were decoded.

    Raises:
      VerifyError: an array differs from the digests that the source records (`ChangedValues`).
    """
    refuse_changed_leaves([path for path, blocks in carried.items() if found[path] != blocks], _places(reader))


def _places(reader: Reader) -> Sequence[Path]:
    return [one.abstract().path for one in reader.checkpoints().values()]


def recorded_digests(plan: Plan, reader: Reader) -> Mapping[KeyPath, Blocks]:
    """Returns the digests that the sources record for leaves of the same type as today, by source key path."""
    known = {prefix + path: one for prefix, part in reader.checkpoints().items() for path, one in _known(part)}
    found = {}
    for path, leaf in plan.source.tree.leaves.items() if known else ():
        one = known.get(stored_path(path, leaf))
        if one and one.blocks is not None and one.type == str(leaf):
            found[path] = one.blocks
    return found


def _known(reader: Reader) -> Iterable[tuple[KeyPath, LeafDigests]]:
    """Returns the digests that one source records, by stored key path."""
    record = reader.digest_record()
    return _narrowed(record, reader.abstract()).items() if record else ()


def _narrowed(record: DigestRecord, source: AbstractCheckpoint) -> Mapping[KeyPath, LeafDigests]:
    """Returns the leaves of a record by the paths of a source of which one item was chosen."""
    if len(record.items) < 2 or len(source.items) != 1:
        return record.leaves
    (name,) = source.items
    return {path[1:]: leaf for path, leaf in record.leaves.items() if path[:1] == (name,)}
