"""The arrays that a plan links: which encoded chunks of the source become an array of the target."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from migrate import dtypes
from migrate.engine.items import ItemPlan
from migrate.engine.linking.open_stores import open_array, open_database, open_folder, reading_context
from migrate.engine.staged_array import StagedArray
from migrate.formats.base import Location, key_prefix
from migrate.formats.files import explain_store_failure
from migrate.formats.reader import Reader
from migrate.formats.zarr.metadata import METADATA_KEYS, Driver, chunk_key
from migrate.formats.zarr.small_arrays import values_of
from migrate.formats.zarr.store_spec import array_spec
from migrate.ops.chunk_grid import ChunkGrid
from migrate.planning.model import Plan, Task
from migrate.planning.relink import chunk_moves
from migrate.tree import AbstractArray, AbstractLeaf, KeyPath

LINKED = "linked"
"""Stands in place of the digest of an array whose chunks were not decoded."""


@dataclass(frozen=True, slots=True)
class Link:
    """One array of the target that consists of chunks of the source.

    Attributes:
      path: its key path in the target.
      item: the item that contains it.
      leaf: the target's leaf.
      grid: its chunks, as blocks of the chunks of its sources.
      locations: the locations of its sources.
      copied: whether its chunks are copied as they are encoded, although they could be referred to.
      digests: receives the digest of each encoded chunk that is copied, by its key in the target.
    """

    path: KeyPath
    item: ItemPlan
    leaf: AbstractLeaf
    grid: ChunkGrid
    locations: tuple[Location, ...]
    copied: bool = False
    digests: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_referable(self) -> bool:
        """Whether its chunks are entries of a database that the target may refer to."""
        return self.locations[0].ocdbt and not self.copied

    @property
    def copied_bytes(self) -> int:
        """Host bytes of the chunks that were copied although the plan refers to them: their files are not linked."""
        if self.copied or not self.digests:
            return 0
        return self.leaf.nbytes * len(self.digests) // sum(1 for _ in self.chunk_moves())

    @property
    def name(self) -> str:
        """Its stored name."""
        return self.item.stored_name(self.item.inner(self.path))

    @property
    def prefix(self) -> str:
        """The prefix of its keys."""
        return key_prefix(self.name)

    @property
    def metadata_key(self) -> str:
        """The key of its array metadata, below its prefix."""
        return METADATA_KEYS[self.locations[0].driver]

    @property
    def key_words(self) -> tuple[int, ...]:
        """The trailing stored dimension of a typed key, which the key array itself lacks; empty for other dtypes."""
        impl = dtypes.key_impl(self.leaf.aval.dtype) if self.leaf.aval else None
        return (dtypes.KEY_WORDS[impl],) if impl else ()

    def moves(self) -> Iterator[tuple[Location, str, str]]:
        """Every chunk: the location of its source array, its key there, and its key in the target."""
        tail, prefix = (0,) * len(self.key_words), self.prefix
        for location, key, index in self.chunk_moves():
            yield location, key, f"{prefix}{chunk_key((*index, *tail), location.driver)}"

    def chunk_moves(self) -> Iterator[tuple[Location, str, tuple[int, ...]]]:
        """Every chunk: the location of its source array, its key there, and its position in the target's grid."""
        tail = (0,) * len(self.key_words)
        for block in self.grid.blocks:
            location = self.locations[block.array]
            before = location.prefix
            for origin, target in block.moves():
                yield location, f"{before}{chunk_key((*origin, *tail), location.driver)}", target

    def metadata(self, content: bytes) -> bytes:
        """Its array metadata: the metadata of its first source with the shape and chunk shapes of the target."""
        inner = (*self.grid.inner, *self.key_words) if self.grid.inner is not None else None
        shape, chunks = (*self.grid.shape, *self.key_words), (*self.grid.chunks, *self.key_words)
        return _adapted(content, self.locations[0].driver, shape, chunks, inner)

    def staged_array(self) -> StagedArray:
        """The record of the linked array that the commit needs."""
        aval = self.leaf.aval
        assert isinstance(aval, AbstractArray)
        impl = dtypes.key_impl(aval.dtype)
        sharding = self.leaf.sharding if self.leaf.sharding and self.leaf.sharding.placed else None
        return StagedArray(
            name=self.name,
            shape=(*aval.shape, *self.key_words),
            dtype=np.dtype(np.uint32) if impl else dtypes.to_numpy(aval.dtype),
            write_shape=(*self.grid.chunks, *self.key_words),
            chunk_shape=(*(self.grid.inner or self.grid.chunks), *self.key_words),
            key_impl=dtypes.KEY_IMPLS[impl] if impl else None,
            digest=LINKED,
            sharding=sharding,
        )


@lru_cache(maxsize=1024)  # many arrays of a checkpoint have equal metadata
def _adapted(
    content: bytes, driver: Driver, shape: tuple[int, ...], chunks: tuple[int, ...], inner: tuple[int, ...] | None
) -> bytes:
    """Returns array metadata with another shape and other chunk shapes."""
    fields = json.loads(content)
    fields["shape"] = shape
    if driver == "zarr2":
        return json.dumps({**fields, "chunks": chunks}).encode()
    fields["chunk_grid"]["configuration"]["chunk_shape"] = chunks
    if inner is not None:
        fields["codecs"][0]["configuration"]["chunk_shape"] = inner
    fields.pop("dimension_names", None)
    return json.dumps(fields).encode()


def stream_unlocated(plan: Plan, reader: Reader) -> Plan:
    """Returns the plan with those linked tasks streamed whose sources the reader does not locate."""

    def located(task: Task) -> Task:
        is_located = task.mode == "stream" or all(reader.location(path) for path in task.sources)
        return task if is_located else replace(task, mode="stream")

    return replace(plan, tasks=tuple(map(located, plan.tasks)))


def find_links(plan: Plan, reader: Reader, items: Mapping[KeyPath, ItemPlan]) -> tuple[Link, ...]:
    """Returns every array that the plan links or copies without decoding it.

    Args:
      plan: a plan from `stream_unlocated`.
      reader: the source.
      items: the item of each target key path.

    Raises:
      CheckpointError: TensorStore cannot read the metadata of one.
    """
    links = tuple(link for task in plan.tasks if task.mode != "stream" for link in _links_of(task, plan, reader, items))
    _refuse_unreadable(links)
    return links


def _links_of(task: Task, plan: Plan, reader: Reader, items: Mapping[KeyPath, ItemPlan]) -> Iterator[Link]:
    grids = chunk_moves(task, plan.source.tree, plan.target)
    locations = tuple(location for path in task.sources if (location := reader.location(path)))
    assert grids is not None
    assert len(locations) == len(task.sources)
    for path, grid in zip(task.targets, grids, strict=True):
        yield Link(path, items[path], plan.target.leaves[path], grid, locations, copied=task.mode == "copy")


def _refuse_unreadable(links: Sequence[Link]) -> None:
    """Lets TensorStore open one array of each content of metadata, since linked arrays are otherwise never opened."""
    context = reading_context(0)
    alike: dict[tuple[Driver, bytes], Location] = {}
    locations = dict.fromkeys(location for link in links for location in link.locations)
    for location, content in _metadata_of(list(locations), context):
        alike.setdefault((location.driver, content), location)
    for (driver, content), location in alike.items():
        if not _can_be_opened(content, driver):
            open_array(location, context)


def _can_be_opened(content: bytes, driver: Driver) -> bool:
    """Whether TensorStore opens an array of such metadata: one in memory, where no index is searched for it."""
    context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
    store: Any = ts.KvStore.open({"driver": "memory"}, context=context).result()
    store.write(METADATA_KEYS[driver], content).result()
    try:
        ts.open(array_spec({"driver": "memory"}, driver, fill_missing=False), open=True, context=context).result()
    except (ValueError, OSError):
        return False
    return True


def _metadata_of(locations: Sequence[Location], context: Any) -> Iterator[tuple[Location, bytes]]:
    """Yields the array metadata at each location; what the store has to look up is requested at once."""
    by_base: dict[Path, list[Location]] = {}
    for place in locations:
        by_base.setdefault(place.base, []).append(place)
    known: dict[Location, bytes | None] = {}
    for places in by_base.values():
        keys = {place: place.prefix + METADATA_KEYS[place.driver] for place in places}
        found = values_of(places[0]).get_all(keys.values())
        known.update((place, found[key]) for place, key in keys.items())
    stores = {
        place.base: (open_database if place.ocdbt else open_folder)(place.base, context)
        for place in {place.base: place for place, content in known.items() if content is None}.values()
    }
    requests = {
        place: stores[place.base].read(place.prefix + METADATA_KEYS[place.driver])
        for place, content in known.items()
        if content is None
    }
    for place, content in known.items():
        try:
            yield place, requests[place].result().value if content is None else content
        except (ValueError, OSError) as error:
            explain_store_failure(error, place.base, f"the metadata of `{place.name}`")
