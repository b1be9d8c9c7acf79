"""Divides a plan into jobs: reads of windows of arrays or of whole values that run together.

There are five ways. The chunks of a linked array are decoded into its windows if they are small; others are read from
a virtual array, and a task that only moves elements from views of its sources. Any other task whose arrays fit into the
budget is computed whole, so that each chunk is decoded once, and then cut into windows. What is left is computed window
by window: large tasks, and those of which this process needs a part only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn, Protocol

import tensorstore as ts

from migrate import dtypes
from migrate.engine.linking.open_stores import reading_context
from migrate.engine.loading.chunk_reads import ChunkReads
from migrate.engine.loading.host_buffers import aligned_copy
from migrate.engine.loading.store_reads import HostValue, StoreReads
from migrate.engine.loading.views import open_views
from migrate.engine.loading.virtual_arrays import VirtualArrays
from migrate.engine.loading.window_costs import chunk_elements, decoded_bytes, decoded_whole, elements, held_bytes
from migrate.engine.streaming.array_graph import ArrayNode, build_graph
from migrate.engine.streaming.array_sources import blocks, open_source
from migrate.engine.streaming.budget import LEAF_BYTES
from migrate.engine.streaming.pieces import Piece
from migrate.engine.streaming.tile_choice import CACHE_SHARE
from migrate.engine.streaming.tiles import can_tile
from migrate.formats.files import explain_store_failure
from migrate.formats.reader import Reader
from migrate.formats.zarr.small_arrays import SMALL_BYTES
from migrate.ops.windows import Window, cut
from migrate.planning.model import Task
from migrate.tree import AbstractArray, AbstractTree, KeyPath, format_path

READ_BYTES = 1 << 20
"""Sources of an array that cannot be read are read again in parts of this size, to find the one that fails."""

Windows = Mapping[KeyPath, Sequence[Window]]


class Pending(Protocol):
    """A read that has begun."""

    def result(self) -> Sequence[HostValue]:
        """Waits for the read and returns its values."""

    def done(self) -> bool:
        """Whether `result` would not wait."""


@dataclass(frozen=True)
class LoadJob:
    """Reads that begin together.

    Attributes:
      nbytes: host bytes from the beginning until their values are on the devices.
      begin: begins them.
    """

    nbytes: int
    begin: Callable[[Executor], Pending]


@dataclass(frozen=True)
class LoadJobs:
    """The jobs of a load.

    Attributes:
      reader: the source.
      target: the tree of the plan's target.
      windows: the windows of the leaves that are placed on devices; other leaves are read whole.
      chunks: the linked arrays whose chunks are decoded here.
      virtual: the linked arrays that are opened as arrays of TensorStore.
      context: the context of all arrays of TensorStore.
      limit: host bytes of all jobs together.
    """

    reader: Reader
    target: AbstractTree
    windows: Windows
    chunks: ChunkReads
    virtual: VirtualArrays
    context: ts.Context
    limit: int

    def of(self, piece: Piece) -> Iterator[LoadJob]:
        """Yields the jobs of a piece of the plan; none if this process needs no part of it."""
        if all(path in self.windows and not self.windows[path] for path in piece.targets):
            return
        if all(path in self.chunks.links for path in piece.targets):
            for path in piece.targets:
                yield from self._chunk_jobs(path)
            return
        if all(path in self.virtual.links for path in piece.targets):
            yield from self._linked(piece)
            return
        views = self._views(piece)
        if views is not None:
            yield from (self._store_job(piece, path, partial(views.get, path)) for path in piece.targets)
        else:
            yield from self._computed(piece)

    def _of(self, path: KeyPath) -> Sequence[Window]:
        return self.windows.get(path, ())

    def _aval(self, path: KeyPath) -> AbstractArray:
        aval = self.target.leaves[path].aval
        assert aval is not None
        return aval

    def _window_bytes(self, path: KeyPath, window: Window) -> int:
        return elements(window) * dtypes.item_bytes(self._aval(path).dtype)

    def _chunk_jobs(self, path: KeyPath) -> Iterator[LoadJob]:
        """Yields the jobs of decoding the chunks of an array: one, or several where not all windows fit."""
        for windows in self._fitting(path):
            nbytes = sum(self._window_bytes(path, window) for window in windows)
            yield LoadJob(nbytes + LEAF_BYTES, partial(self.chunks.begin, path=path, windows=windows))

    def _fitting(self, path: KeyPath) -> Iterator[Sequence[Window]]:
        """Yields the windows of an array in groups of at most the budget, or of one window."""
        group: list[Window] = []
        nbytes = 0
        for window in self._of(path):
            size = self._window_bytes(path, window)
            if group and nbytes + size > self.limit:
                yield group
                group, nbytes = [], 0
            group, nbytes = [*group, window], nbytes + size
        yield group

    def _linked(self, piece: Piece) -> Iterator[LoadJob]:
        """Yields one job for each array, which decodes each chunk once, or one for each window of a larger array."""
        for path in piece.targets:
            windows, item = self._of(path), dtypes.item_bytes(self._aval(path).dtype)
            opened = partial(self.virtual.open, path)
            job = self._store_job(piece, path, opened)
            if job.nbytes <= self.limit or len(windows) < 2:
                yield job
                continue
            for window in windows:
                chunks = chunk_elements(window, self.virtual.links[path].grid.chunks) * item
                nbytes = self._window_bytes(path, window) + chunks + LEAF_BYTES
                yield replace(self._store_job(piece, path, opened, (window,)), nbytes=nbytes)

    def _views(self, piece: Piece) -> Mapping[KeyPath, Any] | None:
        """Returns views for the targets of a task; None where it is small or large, or views cannot compute it."""
        task = piece.work
        if not isinstance(task, Task) or not can_tile(piece) or any(path not in self.windows for path in piece.targets):
            return None
        if is_small(task) or task.in_bytes + task.out_bytes > self.limit:
            return None
        return open_views(task, self.reader, self.context)

    def _store_job(
        self, piece: Piece, path: KeyPath, opened: Callable[[], Any], windows: Sequence[Window] | None = None
    ) -> LoadJob:
        """Returns the job of reading windows of an array of TensorStore (default: all of them)."""
        chosen = self._of(path) if windows is None else windows
        nbytes = self._aval(path).nbytes + sum(self._window_bytes(path, window) for window in chosen)
        assert isinstance(piece.work, Task)
        explain = partial(_explain, self.reader, piece.work)
        return LoadJob(nbytes + LEAF_BYTES, lambda _: StoreReads(path, opened, chosen, explain))

    def _computed(self, piece: Piece) -> Iterator[LoadJob]:
        """Yields one job for a piece, or one for each window if no chunk is decoded twice for it, or if it is large."""
        windows = sum(self._window_bytes(path, window) for path in piece.targets for window in self._of(path))
        alone = LoadJob(piece.nbytes + windows, lambda pool: pool.submit(self._compute, piece))
        small = isinstance(piece.work, Task) and is_small(piece.work)
        if small or not can_tile(piece) or any(path not in self.windows for path in piece.targets):
            yield alone
            return
        graph = build_graph(piece, self.reader, self.limit // CACHE_SHARE)
        decoded = sum(decoded_bytes(node, self._of(path)) for path, node in graph.items())
        if decoded > decoded_whole(graph.values()) and alone.nbytes <= self.limit:
            yield alone
            return
        for path, node in graph.items():
            yield from (self._window_job(path, node, window) for window in self._of(path))

    def _compute(self, piece: Piece) -> list[HostValue]:
        values, found = piece.compute(), []
        for path in piece.targets:
            if path in self.windows:
                found += [HostValue(path, part, aligned_copy(cut(values[path], part))) for part in self._of(path)]
            else:
                found.append(HostValue(path, None, values[path]))
        return found

    def _window_job(self, path: KeyPath, node: ArrayNode, window: Window) -> LoadJob:
        def read() -> list[HostValue]:
            return [HostValue(path, window, aligned_copy(node.read(window)))]

        nbytes = held_bytes(node, window) + decoded_bytes(node, [window]) + self._window_bytes(path, window)
        return LoadJob(nbytes + LEAF_BYTES, lambda pool: pool.submit(read))


def _explain(reader: Reader, task: Task, error: Exception) -> NoReturn:
    """Raises an error that names the source's file and leaf, where TensorStore names a virtual array or a view.

    Raises:
      CheckpointError: a source of the task cannot be read.
      ValueError: memory is exhausted, which is no error of the source.
    """
    if str(error).startswith("RESOURCE_EXHAUSTED"):
        raise error
    for path, aval in zip(task.sources, task.in_avals, strict=True):
        assert aval is not None
        source = open_source(reader, path, aval, reading_context(0))
        for part in blocks(source, READ_BYTES):
            source.read(part)
    location = reader.location(task.sources[0])
    folder = location.base if location is not None else reader.abstract().path
    explain_store_failure(error, folder, f"the array `{format_path(task.sources[0])}`")


def is_small(task: Task) -> bool:
    """Whether all sources of a task are so small that reading them is faster than opening a virtual array."""
    return all(aval is not None and aval.nbytes <= SMALL_BYTES for aval in task.in_avals)
