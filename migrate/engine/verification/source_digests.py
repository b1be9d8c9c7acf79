"""The digests that a source records: carried over to leaves that are linked, and compared with what is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from migrate.codes import ChangedValues
from migrate.engine.verification.chunk_places import ChunkFiles
from migrate.engine.verification.leaf_digests import leaf_digests
from migrate.engine.verification.recorded import unequal_blocks
from migrate.engine.verification.stored_digests import UndecodableArray, undecodable
from migrate.errors import VerifyError
from migrate.events import LeafDone, Listener, ignore
from migrate.formats.digest_record import Blocks, DigestRecord, LeafDigests
from migrate.formats.reader import AbstractCheckpoint, Reader
from migrate.planning.model import Plan
from migrate.tree import KeyPath, format_path, stored_path


def carried_digests(plan: Plan, reader: Reader) -> Mapping[KeyPath, Blocks]:
    """Returns the digests that the source records for arrays which are linked under another name or several.

    They are carried over only where no op takes part and shape and dtype are the same: values in C order survive a
    rename, but not a stack or a split.

    Args:
      plan: the plan.
      reader: the source.
    """
    known = _recorded(plan, reader)
    carried: dict[KeyPath, Blocks] = {}
    for task in plan.tasks:
        if task.mode == "stream" or task.steps:
            continue
        source = task.sources[0]
        for path in task.targets:
            if source in known and str(plan.source.tree.leaves[source]) == str(plan.target.leaves[path]):
                carried[path] = known[source]
    return carried


def digests_of_inputs(plan: Plan, reader: Reader) -> Mapping[KeyPath, Blocks]:
    """Returns the digests that the source records for leaves with data that are streamed or that ops use, by key path.

    All other leaves of a plan keep their digests (`carried_digests`).
    """
    known = _recorded(plan, reader)
    inputs = (path for task in plan.tasks if task.mode == "stream" or task.steps for path in task.sources)
    return {path: known[path] for path in inputs if known.get(path)}


def compare_inputs(
    recorded: Mapping[KeyPath, Blocks], reader: Reader, *, max_ram: int, jobs: int, listener: Listener = ignore
) -> int:
    """Reads leaves of the source and compares them with the digests that it records.

    Args:
      recorded: the digests by source key path.
      reader: the source.
      max_ram: host bytes in memory at once.
      jobs: the most arrays that are read at once.
      listener: receives an event for every leaf.

    Returns:
      The number of compared leaves.

    Raises:
      VerifyError: a leaf differs (`ChangedValues`).
      CheckpointError: a leaf cannot be decoded.
    """
    leaves = reader.abstract().tree.leaves
    changed: list[KeyPath] = []
    for path, found in leaf_digests(reader, max_ram=max_ram, jobs=jobs, crc=False, paths=recorded):
        if isinstance(found, UndecodableArray):
            raise undecodable(path, found, ChunkFiles())
        if unequal_blocks(recorded[path], found):
            changed.append(path)
        listener(LeafDone("source", path, leaves[path].nbytes))
    _refuse(changed, reader)
    return len(recorded)


def refuse_changed(carried: Mapping[KeyPath, Blocks], found: Mapping[KeyPath, Blocks], reader: Reader) -> None:
    """Refuses a source whose values are no longer those that it records, as far as they were decoded.

    Raises:
      VerifyError: an array differs from the digests that the source records (`ChangedValues`).
    """
    _refuse([path for path, blocks in carried.items() if found[path] != blocks], reader)


def _refuse(changed: list[KeyPath], reader: Reader) -> None:
    if not changed:
        return
    paths = [str(one.abstract().path) for one in reader.checkpoints().values()]
    count = f"{len(changed):,} of its arrays differ"
    message = f"{' or '.join(paths)} has changed since its digests were recorded: {count}"
    commands = " and ".join(f"`migrate verify {path}`" for path in paths)
    names = [format_path(path) for path in changed]
    raise VerifyError(ChangedValues.at(message, paths=names, help=f"{commands} names the files"))


def _recorded(plan: Plan, reader: Reader) -> Mapping[KeyPath, Blocks]:
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
