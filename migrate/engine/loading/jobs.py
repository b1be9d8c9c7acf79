"""Divides a plan into jobs: reads that run at once, each of which brings windows of arrays or whole values to the host.

There are three ways. A linked array is read window by window from a virtual array. A task whose arrays fit into the
budget is computed whole, so that each chunk is decoded once, and then cut into windows. Any other task is computed
window by window, as are tasks of which this process needs a part only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import tensorstore as ts

from migrate import dtypes
from migrate.engine.linking.link import Link
from migrate.engine.linking.open_stores import reading_context
from migrate.engine.loading.host_buffers import aligned, aligned_copy
from migrate.engine.loading.virtual_arrays import VirtualArrays
from migrate.engine.streaming.array_graph import ArrayNode, build_graph, windows_read
from migrate.engine.streaming.array_sources import blocks, open_source
from migrate.engine.streaming.budget import LEAF_BYTES
from migrate.engine.streaming.pieces import Piece
from migrate.engine.streaming.tile_choice import CACHE_SHARE
from migrate.engine.streaming.tiles import can_tile
from migrate.formats.base import Value
from migrate.formats.files import explain_store_failure
from migrate.formats.reader import Reader
from migrate.formats.zarr.small_arrays import SMALL_BYTES
from migrate.ops.windows import Window, cut, extent
from migrate.planning.model import Task
from migrate.tree import AbstractArray, AbstractTree, KeyPath

Windows = Mapping[KeyPath, Sequence[Window]]


@dataclass(frozen=True)
class Arrival:
    """A value on the host.

    Attributes:
      path: the leaf.
      window: the window of its array that `value` is, in an aligned buffer; None for a whole value.
      value: the value.
    """

    path: KeyPath
    window: Window | None
    value: Value


class Pending(Protocol):
    """A read that has begun."""

    def result(self) -> Sequence[Arrival]:
        """Waits for the read and returns what it brings."""

    def done(self) -> bool:
        """Whether `result` would not wait."""


@dataclass(frozen=True)
class Job:
    """Reads that begin together.

    Attributes:
      nbytes: host bytes from the beginning until what they bring is on the devices.
      begin: begins them.
    """

    nbytes: int
    begin: Callable[[Executor], Pending]


@dataclass(frozen=True)
class Jobs:
    """The jobs of a load.

    Attributes:
      reader: the source.
      target: the tree of the plan's target.
      windows: the windows of the leaves that are placed on devices; leaves that are not named are brought whole.
      links: the linked arrays by key path.
      virtual: the same arrays, opened on demand.
      limit: host bytes of all jobs together.
    """

    reader: Reader
    target: AbstractTree
    windows: Windows
    links: Mapping[KeyPath, Link]
    virtual: VirtualArrays
    limit: int

    def of(self, piece: Piece) -> Iterator[Job]:
        """Yields the jobs of a piece of the plan."""
        if all(path in self.links and path in self.windows for path in piece.targets) and not is_small(piece):
            for path in piece.targets:
                yield from self._virtual(path)
        elif self._is_computed_whole(piece):
            windows = sum(self._window_bytes(path, window) for path in piece.targets for window in self._of(path))
            yield Job(piece.nbytes + windows, lambda pool: pool.submit(self._computed, piece))
        else:
            yield from self._in_windows(piece)

    def _of(self, path: KeyPath) -> Sequence[Window]:
        return self.windows.get(path, ())

    def _aval(self, path: KeyPath) -> AbstractArray:
        aval = self.target.leaves[path].aval
        assert aval is not None
        return aval

    def _window_bytes(self, path: KeyPath, window: Window) -> int:
        return math.prod(extent(window)) * dtypes.item_bytes(self._aval(path).dtype)

    def _virtual(self, path: KeyPath) -> Iterator[Job]:
        """Yields one job for an array, in which each chunk is decoded once, or one for each window of a larger one."""
        windows, chunks = self._of(path), self.links[path].grid.chunks
        item = dtypes.item_bytes(self._aval(path).dtype)
        touched = [_decoded_bytes(window, chunks) * item for window in windows]
        nbytes = self._aval(path).nbytes + sum(self._window_bytes(path, window) for window in windows)
        if nbytes <= self.limit or len(windows) < 2:
            yield Job(nbytes + LEAF_BYTES, lambda _: _VirtualReads(self, path, windows))
            return
        for window, decoded in zip(windows, touched, strict=True):
            one = self._window_bytes(path, window) + decoded + LEAF_BYTES
            yield Job(one, lambda _, window=window: _VirtualReads(self, path, (window,)))  # type: ignore[misc]

    def _is_computed_whole(self, piece: Piece) -> bool:
        if not can_tile(piece) or any(path not in self.windows for path in piece.targets):
            return True
        if piece.nbytes > self.limit:
            return False
        return all(sum(map(_size, self._of(path))) >= self._aval(path).size for path in piece.targets)

    def _computed(self, piece: Piece) -> list[Arrival]:
        values, found = piece.compute(), []
        for path in piece.targets:
            if path in self.windows:
                found += [Arrival(path, part, aligned_copy(cut(values[path], part))) for part in self._of(path)]
            else:
                found.append(Arrival(path, None, values[path]))
        return found

    def _in_windows(self, piece: Piece) -> Iterator[Job]:
        graph = build_graph(piece, self.reader, self.limit // CACHE_SHARE)
        for path in piece.targets:
            for window in self._of(path):
                yield self._window_job(path, graph[path], window)

    def _window_job(self, path: KeyPath, node: ArrayNode, window: Window) -> Job:
        needed = sum(_bytes_of(below, part) for below, part in windows_read(node, window))

        def read() -> list[Arrival]:
            return [Arrival(path, window, aligned_copy(node.read(window)))]

        return Job(needed + self._window_bytes(path, window) + LEAF_BYTES, lambda pool: pool.submit(read))


class _VirtualReads:
    """Reads of windows of a virtual array; TensorStore runs them on its own threads."""

    def __init__(self, jobs: Jobs, path: KeyPath, windows: Sequence[Window]) -> None:
        self._jobs, self._path = jobs, path
        self._begun: list[tuple[Window, Any, Any]] = []
        try:
            array = jobs.virtual.open(path)
        except (ValueError, OSError) as error:
            self._explain(error)
        for window in windows:
            box = tuple(slice(start, stop) for start, stop in window)
            part = array[box][ts.d[:].translate_to[0]] if box else array
            buffer = aligned(extent(window), array.dtype.numpy_dtype)
            self._begun.append((window, buffer, ts.array(buffer).write(part)))

    def done(self) -> bool:
        """Whether every read has ended."""
        return all(future.done() for _, _, future in self._begun)

    def result(self) -> list[Arrival]:
        """Returns the windows.

        Raises:
          CheckpointError: a chunk is missing or damaged.
        """
        found = []
        for window, buffer, future in self._begun:
            try:
                future.result()
            except (ValueError, OSError) as error:
                self._explain(error)
            found.append(Arrival(self._path, window, buffer))
        return found

    def _explain(self, error: Exception) -> NoReturn:
        """Raises an error that names the source's file: TensorStore names the virtual array's."""
        link = self._jobs.links[self._path]
        _read_sources(self._jobs.reader, link)
        explain_store_failure(error, link.locations[0].base, f"the array `{link.locations[0].name}`")


def _read_sources(reader: Reader, link: Link) -> None:
    """Reads the sources of a virtual array in parts, one after the other, until one fails.

    Raises:
      CheckpointError: one cannot be read.
    """
    tree = reader.abstract().tree
    for source, leaf in tree.leaves.items():
        if leaf.aval is None or leaf.kind != "array" or reader.location(source) not in link.locations:
            continue
        opened = open_source(reader, source, leaf.aval, reading_context(0))
        for part in blocks(opened, SMALL_BYTES):
            opened.read(part)


def is_small(piece: Piece) -> bool:
    """Whether all sources of a linked task are so small that reading them is faster than opening a virtual array."""
    assert isinstance(piece.work, Task)
    return all(aval is not None and aval.nbytes <= SMALL_BYTES for aval in piece.work.in_avals)


def _decoded_bytes(window: Window, chunks: Sequence[int]) -> int:
    """Returns the number of elements of the chunks that a window touches."""
    return math.prod(
        (-(-stop // size) - start // size) * size for (start, stop), size in zip(window, chunks, strict=True)
    )


def _bytes_of(node: ArrayNode, window: Window) -> int:
    return _size(window) * dtypes.item_bytes(node.aval.dtype)


def _size(window: Window) -> int:
    return math.prod(extent(window))
