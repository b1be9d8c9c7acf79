"""One byte budget for everything that is in memory at once: reads, intermediate arrays and writes.

What a task needs is known from its plan alone, so it is reserved before the first byte is read; nothing has to be
measured, and nothing is found out too late.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrate.planning.model import Task
    from migrate.tree import AbstractArray

LEAF_BYTES = 16 << 10
"""What the smallest leaf costs beside its elements: metadata, chunk keys, futures."""


TRIM_BYTES = 64 << 20
"""Freed memory is given back to the system each time about this much was worked on."""


class Budget:
    """Bytes that can be reserved; whoever asks for more than is free waits, in the order of asking.

    A reservation beyond the whole budget is granted once nothing else is reserved, so that every request is served.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._reserved = 0
        self._abandoned = False
        self._line: list[object] = []
        self._changed = threading.Condition()

    @property
    def contended(self) -> bool:
        """Whether somebody waits: who holds bytes without working on them should let them go."""
        with self._changed:
            return bool(self._line)

    @property
    def reserved(self) -> int:
        """Bytes that are reserved now."""
        with self._changed:
            return self._reserved

    def reserve(self, nbytes: int, before_waiting: Callable[[], None] = lambda: None) -> None:
        """Takes `nbytes`; waits until they are free.

        Args:
          nbytes: how many.
          before_waiting: called once if there is a wait, when `contended` is true already: what finished in the
            meantime and is only held back can be let go.
        """
        ticket = object()
        with self._changed:
            self._line.append(ticket)
            if self._is_next(ticket, nbytes):
                self._grant(ticket, nbytes)
                return
        try:
            before_waiting()
            with self._changed:
                self._changed.wait_for(lambda: self._is_next(ticket, nbytes))
                self._grant(ticket, nbytes)
        except BaseException:
            self._leave(ticket)
            raise

    def _is_next(self, ticket: object, nbytes: int) -> bool:
        if self._abandoned:
            return True
        return self._line[0] is ticket and (not self._reserved or self._reserved + nbytes <= self.limit)

    def _grant(self, ticket: object, nbytes: int) -> None:
        self._line.remove(ticket)
        self._reserved += nbytes
        self._changed.notify_all()

    def _leave(self, ticket: object) -> None:
        with self._changed:
            if ticket in self._line:
                self._line.remove(ticket)
                self._changed.notify_all()

    def release(self, nbytes: int) -> None:
        """Gives back what was reserved."""
        with self._changed:
            self._reserved -= nbytes
            self._changed.notify_all()

    def abandon(self) -> None:
        """Grants whatever is asked for from now on: the work has failed and nobody may wait for it."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()


def task_bytes(task: Task) -> int:
    """Host bytes that a task needs at its highest point, when each of its arrays is held whole.

    While the last source is read, its encoded chunk and the decoded chunk lie beside the array. While a step runs,
    its inputs and outputs do. While results are written, so do the sources that they may be views of, and an encoded
    copy.
    """
    sources = task.in_bytes
    reading = sources + 2 * _largest(task.in_avals)
    writing = sources + 2 * task.out_bytes
    return max(reading, sources + _steps_bytes(task), writing) + LEAF_BYTES * len(task.targets)


def value_bytes(nbytes: int) -> int:
    """Host bytes of a value that is made and written: itself, a contiguous copy, and its encoded chunks."""
    return 3 * nbytes + LEAF_BYTES


def _largest(avals: tuple[AbstractArray | None, ...]) -> int:
    return max((aval.nbytes for aval in avals if aval), default=0)


def _steps_bytes(task: Task) -> int:
    """The most that the inputs and outputs of one step weigh together; what a step makes may be views, or not."""
    if not task.steps:
        return 0
    arrays = [aval for aval in task.in_avals if aval]
    most = 0
    for step in task.steps:
        results = [out for group in step.groups for out in step.op.infer(*(arrays[index] for index in group))]
        weights = [sum(aval.nbytes for aval in avals) for avals in (arrays, results)]
        most = max(most, sum(weights))
        arrays = results
    return most


class Trimmer:
    """Gives freed memory back to the system each time about `TRIM_BYTES` were worked on; safe in threads."""

    def __init__(self) -> None:
        self._since = 0
        self._lock = threading.Lock()

    def worked(self, nbytes: int) -> bool:
        """So many bytes of arrays were made and let go since the last call; true if memory was given back."""
        with self._lock:
            self._since += nbytes
            due = self._since >= TRIM_BYTES
            self._since = 0 if due else self._since
        if due:
            give_back_freed()
        return due


def give_back_freed() -> None:
    """Returns freed memory to the system.

    glibc keeps what was freed in the arenas of the threads that asked for it, so that a process of many threads and
    large arrays grows far beyond what it holds. Elsewhere nothing has to be done.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


def _malloc_trim() -> Callable[[int], int] | None:
    import ctypes

    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    return trim
