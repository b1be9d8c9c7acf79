"""Stages what a plan streams: reads, ops and encodes of several leaves overlap, under one byte budget.

The order of work is that of the plan. A thread takes a task from its first read to the write of its last result, so
that nothing is handed around; which thread has a task is chance, and nothing that is written depends on it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from migrate.engine.items import ItemPlan, item_of, item_plans
from migrate.engine.options import DEFAULT_RAM
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.budget import Budget, Trimmer
from migrate.engine.streaming.pieces import Piece, pieces
from migrate.engine.streaming.store import CODECS, Store, Tiles
from migrate.engine.streaming.tiles import can_tile, make_in_tiles, remove_scratch
from migrate.errors import RefusedError
from migrate.formats.base import Value
from migrate.formats.reader import Reader
from migrate.planning.model import Plan, Task
from migrate.tree import AbstractLeaf, KeyPath

Sink = Callable[[KeyPath, StagedArray], None]


class Stopped(Exception):
    """Staging stopped when it was asked to; what was in flight is durable.

    Attributes:
      staged: arrays that are durable now, those of earlier runs included.
      remaining: arrays that are not.
    """

    def __init__(self, staged: int, remaining: int) -> None:
        super().__init__(f"{staged} arrays are staged, {remaining} remain")
        self.staged = staged
        self.remaining = remaining


def _nobody(path: KeyPath, staged: StagedArray) -> None:
    del path, staged


def stage(
    plan: Plan,
    reader: Reader,
    stores: Mapping[str, Store],
    *,
    max_ram: int = DEFAULT_RAM,
    jobs: int | None = None,
    finished: Collection[KeyPath] = (),
    sink: Sink = _nobody,
    stopped: Callable[[], bool] = lambda: False,
) -> Mapping[KeyPath, Value]:
    """Writes every array that is streamed or created into the store of its item.

    Args:
      plan: what to make.
      reader: the source.
      stores: a staging store for each item, by its name.
      max_ram: host bytes that may be in use at once, by reads, intermediate arrays and writes together. What cannot be
        done with less (one chunk of the source, one task with an op that needs its whole array) is done alone.
      jobs: how many tasks are worked on at once; the number of processors without it.
      finished: target key paths that an earlier run made durable; they are not made again.
      sink: told of every array, from one thread at a time, once it is durable.
      stopped: asked before each task; when it says yes, what is in flight is finished and Stopped is raised.

    Returns:
      The values of all target leaves that are neither arrays nor numbers.

    Raises:
      Stopped: `stopped` said yes.
      RefusedError: a cast would change a value (M503).
      CheckpointError: the source cannot be read.
    """
    for store in stores.values():
        remove_scratch(store.directory.parent)
    work = _Work(plan, reader, stores, Budget(max_ram), frozenset(finished), sink)
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1, thread_name_prefix="stage") as pool:
        try:
            halted = _dispatch(work, pool, jobs or os.cpu_count() or 1, stopped)
        except BaseException:
            work.fail()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    work.flush()
    if halted:
        raise Stopped(*work.progress())
    return work.values


def _dispatch(work: _Work, pool: ThreadPoolExecutor, jobs: int, stopped: Callable[[], bool]) -> bool:
    """Hands out the pieces as the budget allows; true if it was stopped before the last one."""
    running: set[Future[None]] = set()
    for piece in work.pieces():
        if len(running) > jobs:
            running = _settled(running)
        if stopped():
            _finish(running)
            return True
        cost = min(piece.nbytes, work.budget.limit)
        work.budget.reserve(cost, before_waiting=work.flush)
        if work.failed.is_set():
            break
        running.add(pool.submit(work.do, piece, cost))
    _finish(running)
    return False


def _settled(running: set[Future[None]]) -> set[Future[None]]:
    """Waits until at least one is done; raises what any of them raised."""
    done, rest = wait(running, return_when="FIRST_COMPLETED")
    if any(future.exception() for future in done):
        _finish(running)
    return rest


def _finish(running: set[Future[None]]) -> None:
    """Waits for all of them.

    Raises:
      RefusedError: with the reasons of all that were refused.
      BaseException: the first other failure.
    """
    wait(running, return_when=FIRST_EXCEPTION)
    failures = [error for future in running if (error := future.exception())]
    refusals = [error for error in failures if isinstance(error, RefusedError)]
    for failure in failures:
        if failure not in refusals:
            raise failure
    if refusals:
        raise RefusedError(*(diagnostic for refusal in refusals for diagnostic in refusal.diagnostics))


@dataclass
class _Work:
    """What the threads share."""

    plan: Plan
    reader: Reader
    stores: Mapping[str, Store]
    budget: Budget
    finished: frozenset[KeyPath]
    sink: Sink
    values: dict[KeyPath, Value] = field(default_factory=dict)
    failed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._sources = self.plan.source.tree.leaves
        self._owner: Mapping[KeyPath, ItemPlan] = item_of(item_plans(self.plan))
        self._lock = threading.Lock()
        self._durable = 0
        self._trimmer = Trimmer()

    def pieces(self) -> Iterator[Piece]:
        """What is left to do: no arrays and numbers that are finished, but all other values."""
        for piece in pieces(self.plan, self.reader, streamed_only=True):
            arrays = [path for path in piece.targets if self._is_stored(path)]
            if len(arrays) < len(piece.targets) or not self.finished.issuperset(arrays):
                yield piece

    def _is_stored(self, path: KeyPath) -> bool:
        return self.plan.target.leaves[path].is_numeric

    def do(self, piece: Piece, cost: int) -> None:
        """Makes a piece and writes its arrays; what it cost is given back once they are durable."""
        if self.failed.is_set():
            return
        try:
            todo = [path for path in piece.targets if self._is_stored(path) and path not in self.finished]
            share = _Share(self.budget, cost, len(todo))
            make = self._in_tiles if piece.nbytes > self.budget.limit and can_tile(piece) else self._whole
            self.values.update(make(piece, todo, share))
            if self.budget.contended:
                self.flush()
        except BaseException:
            self.fail()
            raise

    def fail(self) -> None:
        """Nothing more is begun, and nobody waits for what will not be given back any more."""
        self.failed.set()
        self.budget.abandon()

    def _whole(self, piece: Piece, todo: list[KeyPath], share: _Share) -> Mapping[KeyPath, Value]:
        """Holds all arrays of the piece at once; returns the other values."""
        values = dict(piece.make())
        for path in todo:
            store, item, leaf = self._place(path)
            done = self._done(path, share)
            store.write(item.inner(path), leaf, values.pop(path), codec=self._codec(piece), done=done)
        return {path: value for path, value in values.items() if not self._is_stored(path)}

    def _in_tiles(self, piece: Piece, todo: list[KeyPath], share: _Share) -> Mapping[KeyPath, Value]:
        """Holds a tile at a time; returns the values that are not arrays."""

        def begin(path: KeyPath, tile: tuple[int, ...]) -> Tiles:
            store, item, leaf = self._place(path)
            return store.tiled(item.inner(path), leaf, tile, self._codec(piece), self._done(path, share))

        scratch = next(iter(self.stores.values())).directory.parent
        return make_in_tiles(piece, self.reader, self.plan.target, todo, self.budget.limit, begin, scratch)

    def _place(self, path: KeyPath) -> tuple[Store, ItemPlan, AbstractLeaf]:
        item = self._owner[path]
        return self.stores[item.name], item, self.plan.target.leaves[path]

    def _done(self, path: KeyPath, share: _Share) -> Callable[[StagedArray], None]:
        def done(staged: StagedArray) -> None:
            share.done()
            self._note(path, staged)

        return done

    def _codec(self, piece: Piece) -> str | None:
        """The codec of the source, where its name and level say all about it."""
        if not isinstance(piece.of, Task):
            return None
        leaf = self._sources[piece.of.sources[0]]
        if leaf.storage is None or not leaf.storage.driver.startswith("zarr"):
            return None
        codec = leaf.storage.codec or "none"
        return codec if codec.partition(":")[0] in CODECS else None

    def _note(self, path: KeyPath, staged: StagedArray) -> None:
        with self._lock:
            self._durable += 1
            self.sink(path, staged)
        if self._trimmer.worked(self.plan.target.leaves[path].nbytes):
            self.reader.release()

    def flush(self) -> None:
        """Makes everything durable that was written."""
        for store in self.stores.values():
            store.flush()

    def progress(self) -> tuple[int, int]:
        """How many of the arrays to be staged are durable, and how many are not."""
        arrays = [path for piece in pieces(self.plan, self.reader, streamed_only=True) for path in piece.targets]
        total = sum(map(self._is_stored, arrays))
        durable = self._durable + len(self.finished.intersection(arrays))
        return durable, total - durable


class _Share:
    """A reservation that several arrays hold together; the last of them to become durable gives it back."""

    def __init__(self, budget: Budget, nbytes: int, arrays: int) -> None:
        self._budget = budget
        self._nbytes = nbytes
        self._left = arrays
        self._lock = threading.Lock()
        if not arrays:
            budget.release(nbytes)

    def done(self) -> None:
        """One array is durable."""
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self._budget.release(self._nbytes)
