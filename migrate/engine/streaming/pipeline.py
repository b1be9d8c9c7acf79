"""Stages the leaves that a plan streams or creates: reads, ops and writes of leaves overlap under one byte budget.

Pieces start in the order of the plan. One thread runs a piece from its first read to the write of its last result;
nothing that is written depends on which thread that is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from migrate.engine.items import ItemPlan, item_of, item_plans
from migrate.engine.options import DEFAULT_RAM
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.budget import Budget, Trimmer
from migrate.engine.streaming.inputs import UNCOMPARED, Inputs
from migrate.engine.streaming.memory import explained_memory_failures
from migrate.engine.streaming.pieces import Piece, pieces
from migrate.engine.streaming.store import CODECS, Store, Tiles
from migrate.engine.streaming.tiles import can_tile, make_in_tiles, remove_scratch
from migrate.errors import RefusedError, listed
from migrate.formats.base import Value
from migrate.formats.reader import Reader
from migrate.planning.model import Plan, Task
from migrate.tree import AbstractLeaf, KeyPath, format_path

GROUP_BYTES = 1 << 20
GROUP_PIECES = 32
"""Bytes and pieces that a thread takes at once: handing one over costs as much as a small array."""

Sink = Callable[[KeyPath, StagedArray], None]


class Stopped(Exception):
    """Staging stopped on request; the pieces that had started are durable.

    Attributes:
      staged: number of durable arrays, including those of earlier runs.
      remaining: number of arrays that are not durable.
    """

    def __init__(self, staged: int, remaining: int) -> None:
        super().__init__(f"{staged} arrays are staged, {remaining} remain")
        self.staged = staged
        self.remaining = remaining


def _ignore(path: KeyPath, staged: StagedArray) -> None:
    del path, staged


def stage(
    plan: Plan,
    reader: Reader,
    stores: Mapping[str, Store],
    *,
    max_ram: int = DEFAULT_RAM,
    jobs: int | None = None,
    finished: Collection[KeyPath] = (),
    sink: Sink = _ignore,
    stopped: Callable[[], bool] = lambda: False,
    scratch: Path | None = None,
    inputs: Inputs = UNCOMPARED,
) -> Mapping[KeyPath, Value]:
    """Writes every array that is streamed or created into the store of its item.

    Args:
      plan: the plan.
      reader: the source.
      stores: the staging store of each item, by the item's name.
      max_ram: budget in host bytes for reads, intermediate arrays and writes together. Work that needs more (one chunk
        of the source, one task with an op that needs whole arrays) runs alone.
      jobs: number of pieces that run at once (default: the number of processors).
      finished: target key paths that an earlier run made durable; they are not written again.
      sink: called with every array once it is durable, by one thread at a time.
      stopped: called before each piece; once it returns true, running pieces are finished and Stopped is raised.
      scratch: the directory for scratch copies, of this call alone (default: beside the stores, where those of a killed
        run are removed first).
      inputs: compares what is read with the digests that the source records (default: nothing is compared). An array is
        written only if everything that it is made from is equal.

    Returns:
      The values of all target leaves that are neither arrays nor numbers.

    Raises:
      Stopped: `stopped` returned true.
      VerifyError: a leaf differs from the digest that the source records (`ChangedValues`).
      RefusedError: a cast would change a value (`LossyCast`).
      CheckpointError: the source cannot be read.
      MigrateError: memory is exhausted (`OutOfMemory`).
    """
    for store in stores.values() if scratch is None else ():
        remove_scratch(store.directory.parent)
    work = _Work(plan, reader, stores, Budget(max_ram), frozenset(finished), sink, inputs, scratch)
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1, thread_name_prefix="stage") as pool:
        try:
            halted = _dispatch(work, pool, jobs or os.cpu_count() or 1, stopped)
        except BaseException:
            work.fail()
            pool.shutdown(wait=True, cancel_futures=True)
            inputs.refuse_changed()  # a changed value may be the reason of any failure
            raise
    work.flush()
    if halted:
        raise Stopped(*work.progress())
    return work.values


def _dispatch(work: _Work, pool: ThreadPoolExecutor, jobs: int, stopped: Callable[[], bool]) -> bool:
    """Starts the pieces as the budget allows; returns whether it was stopped before the last piece."""
    running: set[Future[None]] = set()
    halted = False
    for group in _groups(work.pieces(), min(GROUP_BYTES, work.budget.limit // (4 * jobs))):
        if len(running) > jobs:
            running = _wait_for_any(running)
        started: list[tuple[Piece, int]] = []
        for piece in group:
            halted = stopped()
            if halted:
                break
            cost = min(piece.nbytes, work.budget.limit)
            work.budget.reserve(cost, before_waiting=work.flush)
            started.append((piece, cost))
        if work.failed.is_set():
            break
        running.add(pool.submit(work.run_all, started))
        if halted:
            break
    _wait_for_all(running)
    return halted


def _groups(all_pieces: Iterable[Piece], limit: int) -> Iterator[list[Piece]]:
    """Yields consecutive pieces of at most `limit` bytes together, for one thread; a larger piece is alone."""
    group: list[Piece] = []
    nbytes = 0
    for piece in all_pieces:
        if group and (nbytes + piece.nbytes > limit or len(group) == GROUP_PIECES):
            yield group
            group, nbytes = [], 0
        group.append(piece)
        nbytes += piece.nbytes
    if group:
        yield group


def _wait_for_any(running: set[Future[None]]) -> set[Future[None]]:
    """Waits until at least one piece is done and returns the others; raises the failure of a piece that failed."""
    done, rest = wait(running, return_when="FIRST_COMPLETED")
    if any(future.exception() for future in done):
        _wait_for_all(running)
    return rest


def _wait_for_all(running: set[Future[None]]) -> None:
    """Waits for all pieces.

    Raises:
      RefusedError: the diagnostics of all refused pieces.
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
    """The state that the threads share."""

    plan: Plan
    reader: Reader
    stores: Mapping[str, Store]
    budget: Budget
    finished: frozenset[KeyPath]
    sink: Sink
    inputs: Inputs
    scratch: Path | None = None
    values: dict[KeyPath, Value] = field(default_factory=dict)
    failed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._sources = self.plan.source.tree.leaves
        self._owner: Mapping[KeyPath, ItemPlan] = item_of(item_plans(self.plan))
        self._lock = threading.Lock()
        self._durable = 0
        self._trimmer = Trimmer(self.budget.limit)

    def pieces(self) -> Iterator[Piece]:
        """The pieces with an unfinished array or number, or with any value of another kind."""
        for piece in pieces(self.plan, self.reader, streamed_only=True, inputs=self.inputs):
            arrays = [path for path in piece.targets if self._is_stored(path)]
            if len(arrays) < len(piece.targets) or not self.finished.issuperset(arrays):
                yield piece

    def _is_stored(self, path: KeyPath) -> bool:
        return self.plan.target.leaves[path].is_numeric

    def run_all(self, group: Sequence[tuple[Piece, int]]) -> None:
        """Runs pieces one after the other, each with its reservation; their small arrays are read together."""
        tasks = (piece.work for piece, _ in group if isinstance(piece.work, Task))
        if len(group) > 1 and not self.failed.is_set():
            self.reader.read_ahead(source for task in tasks for source in task.sources)
        for piece, cost in group:
            self.run(piece, cost)

    def run(self, piece: Piece, cost: int) -> None:
        """Computes a piece and writes its arrays; its reservation is released once they are durable."""
        if self.failed.is_set():
            return
        try:
            todo = [path for path in piece.targets if self._is_stored(path) and path not in self.finished]
            share = _SharedReservation(self.budget, cost, len(todo))
            write = self._write_tiles if piece.nbytes > self.budget.limit and can_tile(piece) else self._write_whole
            with explained_memory_failures(_name(piece), self.budget.limit):
                self.values.update(write(piece, todo, share))
            if self.budget.contended:
                self.flush()
        except BaseException:
            self.fail()
            raise

    def fail(self) -> None:
        """Starts no further piece, and lets no thread wait for bytes that a failed piece will not release."""
        self.failed.set()
        self.budget.abandon()

    def _write_whole(self, piece: Piece, todo: list[KeyPath], share: _SharedReservation) -> Mapping[KeyPath, Value]:
        """Computes all arrays of the piece at once; returns the other values."""
        values = dict(piece.compute())
        self.inputs.refuse_changed()
        for path in todo:
            store, item, leaf = self._destination(path)
            done = self._on_durable(path, piece, share)
            store.write(item.inner(path), leaf, values.pop(path), codec=self._codec(piece), done=done)
        return {path: value for path, value in values.items() if not self._is_stored(path)}

    def _write_tiles(self, piece: Piece, todo: list[KeyPath], share: _SharedReservation) -> Mapping[KeyPath, Value]:
        """Computes one tile at a time; returns the values that are not arrays."""

        def begin(path: KeyPath, tile: tuple[int, ...]) -> Tiles:
            store, item, leaf = self._destination(path)
            return store.tiled(item.inner(path), leaf, tile, self._codec(piece), self._on_durable(path, piece, share))

        self.inputs.compare(_sources(piece), self.budget.limit)
        scratch = self.scratch or next(iter(self.stores.values())).directory.parent
        return make_in_tiles(piece, self.reader, self.plan.target, todo, self.budget.limit, begin, scratch)

    def _destination(self, path: KeyPath) -> tuple[Store, ItemPlan, AbstractLeaf]:
        item = self._owner[path]
        return self.stores[item.name], item, self.plan.target.leaves[path]

    def _on_durable(self, path: KeyPath, piece: Piece, share: _SharedReservation) -> Callable[[StagedArray], None]:
        def done(staged: StagedArray) -> None:
            share.done()
            compared = self.inputs.are_compared(_sources(piece))
            self._record(path, replace(staged, compared=True) if compared else staged)

        return done

    def _codec(self, piece: Piece) -> str | None:
        """The codec of the piece's first source; None where name and level do not describe it completely."""
        if not isinstance(piece.work, Task):
            return None
        leaf = self._sources[piece.work.sources[0]]
        if leaf.storage is None or not leaf.storage.driver.startswith("zarr"):
            return None
        codec = leaf.storage.codec or "none"
        return codec if codec.partition(":")[0] in CODECS else None

    def _record(self, path: KeyPath, staged: StagedArray) -> None:
        with self._lock:
            self._durable += 1
            self.sink(path, staged)
        self._trimmer.add(self.plan.target.leaves[path].nbytes)

    def flush(self) -> None:
        """Makes all written arrays durable."""
        for store in self.stores.values():
            store.flush()

    def progress(self) -> tuple[int, int]:
        """The number of arrays that are durable, and the number of arrays that remain."""
        arrays = [path for piece in pieces(self.plan, self.reader, streamed_only=True) for path in piece.targets]
        total = sum(map(self._is_stored, arrays))
        durable = self._durable + len(self.finished.intersection(arrays))
        return durable, total - durable


def _sources(piece: Piece) -> Sequence[KeyPath]:
    """The leaves of the source that a piece reads; none for created leaves."""
    return piece.work.sources if isinstance(piece.work, Task) else ()


def _name(piece: Piece) -> str:
    return listed([format_path(path) for path in piece.targets], 2)


class _SharedReservation:
    """A reservation that the arrays of a piece share; it is released when the last of them is durable."""

    def __init__(self, budget: Budget, nbytes: int, arrays: int) -> None:
        self._budget = budget
        self._nbytes = nbytes
        self._left = arrays
        self._lock = threading.Lock()
        if not arrays:
            budget.release(nbytes)

    def done(self) -> None:
        """Counts one durable array."""
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self._budget.release(self._nbytes)
