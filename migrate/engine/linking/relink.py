"""Relinking: arrays whose bytes do not change are taken over chunk by chunk, without decoding one.

The data files of the source's database are linked below the staging store, and one transaction gives their chunks new
keys there: an entry of an OCDBT B-tree says in which file a value lies, and only entries are written. Chunks that are
files of their own (plain zarr) are copied into the store as they are, encoded. Array metadata is written anew, since
the shape may differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from migrate import dtypes
from migrate.codes import MissingPart
from migrate.engine.items import ItemPlan, stored_name
from migrate.engine.linking.hard_links import link_file
from migrate.engine.linking.open_stores import OPTIONS, open_array, open_database, open_folder, reading_context
from migrate.engine.linking.references import Reference, references
from migrate.engine.staged_array import StagedArray
from migrate.errors import CheckpointError, listed
from migrate.formats.base import Location, key_prefix
from migrate.formats.reader import Reader
from migrate.formats.zarr.key_places import database_files
from migrate.formats.zarr.metadata import METADATA_KEYS
from migrate.ops.chunk_grid import ChunkGrid
from migrate.planning.model import Plan, Task
from migrate.planning.relink import chunk_moves
from migrate.tree import AbstractArray, AbstractLeaf, KeyPath, format_path

LINKED = "linked"
"""What stands in the place of a digest for an array whose bytes were not decoded."""

SOURCE = "ocdbt.process_source_"
"""What the folders are called into which a source's database is linked, with a number: a database of its own among the
files of a larger one, for which Orbax has this form of name.
"""

INDEX_CACHE_BYTES = 64 << 20
"""Nodes of B-trees that are kept in memory."""

COPY_BYTES = 32 << 20
"""Encoded chunks are copied in transactions of about this size."""


@dataclass(frozen=True, slots=True)
class Link:
    """One array of the target that is made of chunks of the source.

    Attributes:
      path: its key path in the target.
      item: the item that it belongs to.
      leaf: the target's leaf.
      made: which chunks it is made of.
      places: where the task's sources lie.
    """

    path: KeyPath
    item: ItemPlan
    leaf: AbstractLeaf
    made: ChunkGrid
    places: tuple[Location, ...]

    @property
    def name(self) -> str:
        """Its stored name."""
        return stored_name(self.item.inner(self.path), self.leaf)

    @property
    def prefix(self) -> str:
        """What its keys begin with."""
        return key_prefix(self.name)

    @property
    def metadata_key(self) -> str:
        """The key of its array metadata, below its prefix."""
        return METADATA_KEYS[self.places[0].driver]

    @property
    def words(self) -> tuple[int, ...]:
        """The dimension of a typed key's words, which is stored but is none of the array's; else nothing."""
        impl = dtypes.key_impl(self.leaf.aval.dtype) if self.leaf.aval else None
        return (dtypes.KEY_WORDS[impl],) if impl else ()

    def moves(self) -> Iterator[tuple[Location, str, str]]:
        """Every chunk: the place of its array, its key there, and its key in the target."""
        tail = (0,) * len(self.words)
        for block in self.made.blocks:
            place = self.places[block.array]
            for origin, target in block.moves():
                key = f"{place.prefix}{chunk_key((*origin, *tail), place.driver)}"
                yield place, key, f"{self.prefix}{chunk_key((*target, *tail), place.driver)}"

    def metadata(self, content: bytes) -> bytes:
        """Its array metadata: that of its first source, with this shape and these chunks."""
        fields = json.loads(content)
        fields["shape"] = [*self.made.shape, *self.words]
        if self.places[0].driver == "zarr2":
            return json.dumps({**fields, "chunks": [*self.made.chunks, *self.words]}).encode()
        fields["chunk_grid"]["configuration"]["chunk_shape"] = [*self.made.chunks, *self.words]
        if self.made.inner is not None:
            fields["codecs"][0]["configuration"]["chunk_shape"] = [*self.made.inner, *self.words]
        fields.pop("dimension_names", None)
        return json.dumps(fields).encode()


@dataclass(frozen=True, slots=True)
class Linked:
    """What relinking left in the staging stores.

    Attributes:
      arrays: the arrays that were taken over, by target key path.
      files: how many data files were linked.
      dead_bytes: bytes of linked files that no chunk needs: they belong to arrays that were dropped or rewritten.
    """

    arrays: Mapping[KeyPath, StagedArray]
    files: int = 0
    dead_bytes: int = 0


def stream_unlocated(plan: Plan, reader: Reader) -> Plan:
    """The plan, with the tasks streamed that would link arrays whose chunks the reader does not locate."""

    def located(task: Task) -> Task:
        found = task.mode == "stream" or all(reader.location(path) for path in task.sources)
        return task if found else replace(task, mode="stream")

    return replace(plan, tasks=tuple(map(located, plan.tasks)))


def find_links(plan: Plan, reader: Reader, items: Mapping[KeyPath, ItemPlan]) -> tuple[Link, ...]:
    """Every array that the plan links without decoding it; `stream_unlocated` has seen the plan.

    Raises:
      CheckpointError: TensorStore cannot read the metadata of one.
    """
    links = tuple(link for task in plan.tasks if task.mode != "stream" for link in _links_of(task, plan, reader, items))
    _refuse_unreadable(plan, reader)
    return links


def _refuse_unreadable(plan: Plan, reader: Reader) -> None:
    """Lets TensorStore open one array of each encoding, since what is taken over is never opened."""
    paths = [path for task in plan.tasks if task.mode != "stream" for path in task.sources]
    storages = {path: plan.source.tree.leaves[path].storage for path in paths}
    context = reading_context(0)
    for path in {storage.encoding: path for path, storage in storages.items() if storage}.values():
        location = reader.location(path)
        assert location is not None
        open_array(location, context)


def _links_of(task: Task, plan: Plan, reader: Reader, items: Mapping[KeyPath, ItemPlan]) -> Iterator[Link]:
    made = chunk_moves(task, plan.source.tree, plan.target)
    places = tuple(place for path in task.sources if (place := reader.location(path)))
    assert made is not None
    assert len(places) == len(task.sources)
    for path, chunked in zip(task.targets, made, strict=True):
        yield Link(path, items[path], plan.target.leaves[path], chunked, places)


def relink(links: Sequence[Link], stores: Mapping[str, Path]) -> Linked:
    """Takes over the arrays into the staging stores of their items.

    Args:
      links: from `find_links`.
      stores: the directory of each item's staging store; it may not exist yet.

    Raises:
      CheckpointError: the source lacks a chunk (M403).
    """
    parts = []
    for name, store in stores.items():
        mine = [link for link in links if link.item.name == name]
        if mine:
            parts.append(_relink_into(store, mine))
    return Linked(
        {path: array for part in parts for path, array in part.arrays.items()},
        files=sum(part.files for part in parts),
        dead_bytes=sum(part.dead_bytes for part in parts),
    )


def _relink_into(store: Path, links: Sequence[Link]) -> Linked:
    bases = dict.fromkeys(place.base for link in links for place in link.places if place.ocdbt)
    folders = {base: store / f"{SOURCE}{number}" for number, base in enumerate(bases)}
    for base, folder in folders.items():
        _link_database(base, folder)
    # Copying by reference needs both databases in one context, the source below the target; without a cache every key
    # would read the index again.
    context = ts.Context({"cache_pool": {"total_bytes_limit": INDEX_CACHE_BYTES}})
    target = open_database(store, context, config=OPTIONS, assume_config=True)
    sources = {base: open_database(folder, context) for base, folder in folders.items()}
    _refer([link for link in links if link.places[0].ocdbt], target, sources)
    _copy([link for link in links if not link.places[0].ocdbt], target, context)
    found = references(store)
    _refuse_missing(link for link in links if any(key not in found for _, _, key in link.moves()))
    files, size = _prune(store, folders.values(), found)
    used = {r for link in links for _, _, key in link.moves() if (r := found[key]).file.startswith(SOURCE)}
    return Linked({link.path: _staged(link) for link in links}, files, size - sum(r.length for r in used))


def _link_database(base: Path, folder: Path) -> None:
    """Links the files of an OCDBT database, those of its processes included, and nothing else of the checkpoint."""
    for path in database_files(base):
        target = folder / path.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            link_file(path, target)


def _refer(links: Sequence[Link], target: Any, sources: Mapping[Path, Any]) -> None:
    """One transaction that gives every chunk its new key and every array its metadata."""
    transaction = ts.Transaction(atomic=True)
    writing = target.with_transaction(transaction)
    only = ts.KvStore.KeyRange("", "\0")
    metadata = [sources[link.places[0].base].read(link.places[0].prefix + link.metadata_key) for link in links]
    pending: list[Any] = [
        (sources[place.base] / key).experimental_copy_range_to(writing / new, source_range=only)
        for link in links
        for place, key, new in link.moves()
    ]
    for link, content in zip(links, metadata, strict=True):
        pending.append(writing.write(f"{link.prefix}{link.metadata_key}", link.metadata(content.result().value)))
    for request in pending:
        request.result()
    transaction.commit_async().result()


def _copy(links: Sequence[Link], target: Any, context: Any) -> None:
    """Writes encoded chunks and array metadata, some at a time."""
    for batch in _batches(_encoded(links, context)):
        transaction = ts.Transaction()
        pending = [target.with_transaction(transaction).write(key, value) for key, value in batch]
        for request in pending:
            request.result()
        transaction.commit_async().result()


def _encoded(links: Sequence[Link], context: Any) -> Iterator[tuple[str, bytes]]:
    """Keys and values of plain zarr arrays; a chunk that is not there is noticed later, by its absence."""
    for link in links:
        files = {p.base: open_folder(p.base, context) for p in link.places}
        first = link.places[0]
        content = files[first.base].read(first.prefix + link.metadata_key).result()
        yield f"{link.prefix}{link.metadata_key}", link.metadata(content.value)
        for place, key, new in link.moves():
            chunk = files[place.base].read(key).result()
            if chunk.state == "value":
                yield new, chunk.value


def _batches(entries: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    for entry in entries:
        batch.append(entry)
        if sum(len(value) for _, value in batch) >= COPY_BYTES:
            yield batch
            batch = []
    yield batch


def chunk_key(index: Sequence[int], driver: str) -> str:
    """The key of a chunk below its array's name."""
    if driver == "zarr3":
        return "/".join(("c", *map(str, index)))
    return ".".join(map(str, index)) or "0"


def _refuse_missing(links: Iterable[Link]) -> None:
    lost = [format_path(link.path) for link in links]
    if lost:
        raise CheckpointError(
            MissingPart.at(
                f"the source lacks chunks of {listed(lost, 5)}",
                paths=lost,
                help="copy the checkpoint again, or take another step",
            )
        )


def _prune(store: Path, folders: Iterable[Path], found: Mapping[str, Reference]) -> tuple[int, int]:
    """Unlinks every linked file that holds no chunk of the new arrays; counts the others and their bytes."""
    needed = {reference.file for reference in found.values() if reference.inline is None}
    kept = size = 0
    for folder in folders:
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            if path.relative_to(store).as_posix() in needed:
                kept, size = kept + 1, size + path.stat().st_size
            else:
                path.unlink()
        _remove_empty(folder)
    return kept, size


def _remove_empty(folder: Path) -> None:
    for child in [child for child in folder.iterdir() if child.is_dir()]:
        _remove_empty(child)
    if not any(folder.iterdir()):
        folder.rmdir()


def _staged(link: Link) -> StagedArray:
    aval = link.leaf.aval
    assert isinstance(aval, AbstractArray)
    impl = dtypes.key_impl(aval.dtype)
    sharding = link.leaf.sharding if link.leaf.sharding and link.leaf.sharding.placed else None
    return StagedArray(
        name=link.name,
        shape=(*aval.shape, *link.words),
        dtype=np.dtype(np.uint32) if impl else dtypes.to_numpy(aval.dtype),
        write_shape=(*link.made.chunks, *link.words),
        chunk_shape=(*(link.made.inner or link.made.chunks), *link.words),
        key_impl=dtypes.KEY_IMPLS[impl] if impl else None,
        digest=LINKED,
        sharding=sharding,
    )
