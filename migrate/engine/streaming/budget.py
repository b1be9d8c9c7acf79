"""One byte budget for all arrays in memory: reads, intermediate arrays and writes.

The plan alone determines the bytes that a task needs, so they are reserved before the first byte is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from migrate.engine.streaming.allocator import return_freed_memory

if TYPE_CHECKING:
    from migrate.planning.model import Task
    from migrate.tree import AbstractArray

LEAF_BYTES = 8 << 10
"""Overhead of a leaf beside its elements: metadata, chunk keys, futures, and the transaction of the database, which
takes 7.4 kB for each array of 1 KiB while it is committed.
"""

TRIM_BYTES = 64 << 20
"""The bytes that are processed between two returns of freed memory to the system, where no budget is known."""

_LEAST_TRIM_BYTES = 8 << 20
"""The fewest bytes between two returns, each of which takes some time."""


class Budget:
    """Bytes that threads reserve; a request for more than is free waits, and requests are granted in their order.

    A request beyond the whole budget is granted once nothing else is reserved, so that every request is granted.

    Attributes:
      limit: bytes of the whole budget.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._reserved = 0
        self._abandoned = False
        self._queue: list[object] = []
        self._changed = threading.Condition()

    @property
    def contended(self) -> bool:
        """Whether a request waits: bytes that are held but not in use should be released."""
        with self._changed:
            return bool(self._queue)

    @property
    def reserved(self) -> int:
        """Bytes that are currently reserved."""
        with self._changed:
            return self._reserved

    def reserve(self, nbytes: int, before_waiting: Callable[[], None] = lambda: None) -> None:
        """Reserves bytes; waits until they are free.

        Args:
          nbytes: the number of bytes.
          before_waiting: called once before a wait, when `contended` is already true, so that the caller can release
            bytes of finished work.
        """
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            if self._is_next(ticket, nbytes):
                self._grant(ticket, nbytes)
                return
        try:
            before_waiting()
            with self._changed:
                self._changed.wait_for(lambda: self._is_next(ticket, nbytes))
                self._grant(ticket, nbytes)
        except BaseException:
            self._withdraw(ticket)
            raise

    def _is_next(self, ticket: object, nbytes: int) -> bool:
        if self._abandoned:
            return True
        return self._queue[0] is ticket and (not self._reserved or self._reserved + nbytes <= self.limit)

    def _grant(self, ticket: object, nbytes: int) -> None:
        self._queue.remove(ticket)
        self._reserved += nbytes
        self._changed.notify_all()

    def _withdraw(self, ticket: object) -> None:
        with self._changed:
            if ticket in self._queue:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def release(self, nbytes: int) -> None:
        """Returns reserved bytes."""
        with self._changed:
            self._reserved -= nbytes
            self._changed.notify_all()

    def abandon(self) -> None:
        """Grants every request from now on, so that no thread waits for work that has failed."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()


def task_bytes(task: Task) -> int:
    """Peak host bytes of a task that holds each of its arrays whole.

    Three moments count. Reading the last source: all sources, its encoded chunk and its decoded chunk. Running a step:
    the sources, the step's inputs and its outputs. Writing the results: the sources, of which the results may be
    views, the results, and their encoded copy.
    """
    sources = task.in_bytes
    reading = sources + 2 * _largest(task.in_avals)
    writing = sources + 2 * task.out_bytes
    return max(reading, sources + _steps_bytes(task), writing) + LEAF_BYTES * len(task.targets)


def value_bytes(nbytes: int) -> int:
    """Peak host bytes of a value that is created and written: the value, a contiguous copy, and its encoded chunks."""
    return 3 * nbytes + LEAF_BYTES


def _largest(avals: tuple[AbstractArray | None, ...]) -> int:
    return max((aval.nbytes for aval in avals if aval), default=0)


def _steps_bytes(task: Task) -> int:
    """The largest sum of the inputs and outputs of one step; outputs may be views, but are counted as copies."""
    if not task.steps:
        return 0
    arrays = [aval for aval in task.in_avals if aval]
    most = 0
    for step in task.steps:
        results = [out for op, group in step.calls for out in op.infer(*(arrays[index] for index in group))]
        most = max(most, sum(aval.nbytes for aval in (*arrays, *results)))
        arrays = results
    return most


class Trimmer:
    """Returns freed memory to the system each time many bytes were processed; thread-safe.

    Memory that is returned is zeroed by the system when it is needed again, which costs as much as a copy.
    """

    def __init__(self, limit: int = 0) -> None:
        """Begins to count.

        Args:
          limit: the budget, a quarter of which may be freed and not returned (default: four times `TRIM_BYTES`).
        """
        self._most = max(_LEAST_TRIM_BYTES, limit // 4) if limit else TRIM_BYTES
        self._since = 0
        self._lock = threading.Lock()

    def add(self, nbytes: int) -> None:
        """Counts bytes of arrays that were processed and freed."""
        with self._lock:
            self._since += nbytes
            due = self._since >= self._most
            self._since = 0 if due else self._since
        if due:
            return_freed_memory()
