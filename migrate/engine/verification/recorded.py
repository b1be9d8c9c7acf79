"""The record of digests of a new checkpoint, and a checkpoint compared with the record that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from migrate.codes import ChangedValues
from migrate.engine.items import ItemPlan, item_of, item_plans
from migrate.engine.linking.open_stores import open_array, reading_context
from migrate.engine.streaming.array_bytes import text_blocks
from migrate.engine.verification.chunk_places import ChunkFiles, chunk_shape, chunks_of_block
from migrate.engine.verification.findings import refuse
from migrate.engine.verification.leaf_digests import leaf_digests
from migrate.engine.verification.stored_digests import UndecodableArray, undecodable
from migrate.errors import CheckpointError, Diagnostic
from migrate.events import LeafDone, Listener, ignore
from migrate.formats.base import Value
from migrate.formats.digest_record import (
    BLOCK_BYTES,
    Blocks,
    DigestRecord,
    LeafDigests,
    changed_files,
    unequal_blocks,
)
from migrate.formats.reader import Reader
from migrate.formats.zarr.metadata import chunk_key
from migrate.planning.model import Plan
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path, stored_path


def new_record(
    plan: Plan, blocks: Mapping[KeyPath, Blocks], values: Mapping[KeyPath, Value], names: Mapping[KeyPath, str] | None
) -> DigestRecord:
    """Returns the record of the digests of a new checkpoint.

    Args:
      plan: the plan.
      blocks: the digests of arrays and numbers, by target key path, as far as they are known.
      values: the strings.
      names: the names of arrays in a single file; None for a directory.
    """
    items = item_plans(plan)
    owner = item_of(items)
    leaves = {}
    types: dict[int, str] = {}  # many leaves of a tree are one object
    for path, leaf in plan.target.leaves.items():
        stored = _stored(owner[path], path, names) if leaf.is_numeric else None
        known = blocks.get(path) if leaf.is_numeric else _without_array(leaf, values.get(path))
        if id(leaf) not in types:
            types[id(leaf)] = str(leaf)
        leaves[stored_path(path, leaf)] = LeafDigests(types[id(leaf)], known, stored)
    described = {item.place: _form(item, plan) if names is None else {} for item in items}
    return DigestRecord(leaves, sequences_of(plan.target), described)


def _stored(item: ItemPlan, path: KeyPath, names: Mapping[KeyPath, str] | None) -> tuple[str, str]:
    return item.place, item.stored_name(item.inner(path)) if names is None else names[path]


def _form(item: ItemPlan, plan: Plan) -> dict[str, Any]:
    """Returns how the arrays of an item are stored."""
    return {"zarr_format": 3 if item.is_zarr3(plan) else 2, "ocdbt": not item.plain}


def _without_array(leaf: AbstractLeaf, value: Value) -> Blocks:
    return text_blocks(value) if leaf.kind == "string" else ()


def sequences_of(tree: AbstractTree) -> Sequence[KeyPath]:
    """Returns the nodes that are lists or tuples, which formats do not always tell apart."""
    return tuple(sorted(path for path, kind in tree.containers.items() if kind != "dict"))


@dataclass
class Comparison:
    """A checkpoint compared with the digests that it records.

    Attributes:
      compared: the number of leaves whose digests are equal.
      undigested: the leaves that were decoded but have no digest to compare with.
      blocks: the digests of all leaves that could be decoded.
      problems: what differs, and what cannot be decoded.
    """

    compared: int = 0
    undigested: list[KeyPath] = field(default_factory=list)
    blocks: dict[KeyPath, Blocks] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)

    def refuse(self) -> None:
        """Refuses the checkpoint if there are problems.

        Raises:
          VerifyError: a leaf differs from its record (`ChangedValues`); with all other problems.
          CheckpointError: leaves cannot be decoded, and no other differs.
        """
        if any(problem.code == ChangedValues.number for problem in self.problems):
            refuse(self.problems)
        if self.problems:
            raise CheckpointError(*self.problems)


def compare_record(
    reader: Reader,
    record: DigestRecord | None,
    *,
    max_ram: int,
    jobs: int,
    listener: Listener = ignore,
    crc: bool = False,
) -> Comparison:
    """Decodes every leaf of a checkpoint and compares it with its record.

    Args:
      reader: the checkpoint, opened with `unbox="never"`.
      record: its record; None where it has none.
      max_ram: host bytes in memory at once.
      jobs: the most arrays that are read at once.
      listener: receives an event for every leaf.
      crc: whether the digests in the result are complete, as a record needs them; XXH3-128 alone takes less time.

    Raises:
      CheckpointError: a leaf without chunks cannot be read.
      VerifyError: a value has another shape or dtype than the metadata records.
    """
    done = Comparison()
    tree = reader.abstract().tree
    known = record.leaves if record else {}
    if record:
        done.problems += [*_structure_problems(tree, record), *_file_problems(reader, record)]
    changes = _Changes(reader)
    for path, found in leaf_digests(reader, max_ram=max_ram, jobs=jobs, crc=crc):
        if isinstance(found, UndecodableArray):
            done.problems += undecodable(path, found, changes.files).diagnostics
        else:
            done.blocks[path] = found
            _compare(done, changes, path, found, known.get(path))
        listener(LeafDone("verify", path, tree.leaves[path].nbytes))
    done.problems += changes.diagnostics()
    return done


def _compare(done: Comparison, changes: _Changes, path: KeyPath, found: Blocks, recorded: LeafDigests | None) -> None:
    if recorded is None or recorded.blocks is None:
        done.undigested.append(path)
    elif not (wrong := unequal_blocks(recorded.blocks, found)):
        done.compared += 1
    else:
        changes.add(path, wrong, len(found))


def _structure_problems(tree: AbstractTree, record: DigestRecord) -> Iterator[Diagnostic]:
    for path, leaf in tree.leaves.items():
        recorded = record.leaves.get(path)
        if recorded is None:
            yield _changed(path, "is not in the record of digests")
        elif recorded.type != str(leaf):
            yield _changed(path, f"is {leaf}, but was recorded as {recorded.type}")
    for path in record.leaves:
        if path not in tree.leaves:
            yield _changed(path, "is in the record of digests, but not in the checkpoint")
    moved = set(sequences_of(tree)).symmetric_difference(record.sequences)
    for path in sorted(moved):
        yield _changed(path, "is a mapping and was recorded as a list, or the reverse")


def _file_problems(reader: Reader, record: DigestRecord) -> Iterator[Diagnostic]:
    """Finds small files beside the arrays that differ from the record."""
    folder = reader.digest_folder
    for name in changed_files(record, folder):
        message = f"`{folder}/{name}` has changed since the digests were recorded"
        yield ChangedValues.at(message, help=_HELP)


def _changed(path: KeyPath, how: str) -> Diagnostic:
    return ChangedValues.at(f"`{format_path(path)}` {how}", paths=[format_path(path)], help=_HELP)


_HELP = "copy these files again from an intact copy, or repeat the migration; do not use this checkpoint"


class _Changes:
    """Leaves whose digests differ, grouped by the files that hold their changed chunks."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._groups: dict[tuple[str, ...], list[tuple[KeyPath, str]]] = {}
        self._context = reading_context(0)
        self.files = ChunkFiles()

    def add(self, path: KeyPath, wrong: Sequence[int], count: int) -> None:
        """Adds a leaf of `count` blocks, of which those in `wrong` differ."""
        where = f"block {wrong[0]} of {count}"
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        files, chunks = self._place(path, wrong)
        self._groups.setdefault(files, []).append((path, f"{where}{more}{chunks}"))

    def _place(self, path: KeyPath, wrong: Sequence[int]) -> tuple[tuple[str, ...], str]:
        location = self._reader.location(path)
        if location is None:
            extents = self._reader.extents(path)
            return tuple(dict.fromkeys(str(extent.file) for extent in extents or ())), ""
        array: Any = open_array(location, self._context)
        itemsize, shape = array.dtype.numpy_dtype.itemsize, tuple(array.shape)
        ranges = [
            range(at * BLOCK_BYTES, _end(at, shape, itemsize))
            for at in wrong
            if at * BLOCK_BYTES < _end(at, shape, itemsize)
        ]
        chunk = chunk_shape(array)
        indexes = list(dict.fromkeys(i for one in ranges for i in chunks_of_block(shape, chunk, itemsize, one)))
        files = tuple(dict.fromkeys(str(self.files.file(location, index)) for index in indexes))
        keys = [chunk_key(index, location.driver) for index in indexes]
        shown = f"chunk `{keys[0]}`" if len(keys) == 1 else f"chunks `{keys[0]}` to `{keys[-1]}`"
        return files, f" ({shown})" if keys else ""

    def diagnostics(self) -> Iterator[Diagnostic]:
        """Yields one finding for each group of files."""
        for files, leaves in self._groups.items():
            path, detail = leaves[0]
            where = ", ".join(f"`{file}`" for file in files[:3]) or f"`{self._reader.abstract().path}`"
            where += f" and {len(files) - 3} more files" if len(files) > 3 else ""
            first = f"`{format_path(path)}`"
            subject = f"{first} in {where} has" if len(leaves) == 1 else f"{len(leaves):,} leaves in {where} have"
            shown = detail if len(leaves) == 1 else f"the first is {first}, {detail}"
            message = f"{subject} changed since the digests were recorded: {shown}"
            yield ChangedValues.at(message, paths=[format_path(path) for path, _ in leaves], help=_HELP)


def _end(block: int, shape: Sequence[int], itemsize: int) -> int:
    size = itemsize
    for length in shape:
        size *= length
    return min((block + 1) * BLOCK_BYTES, size)
