"""Runs jobs under a byte budget: reads overlap, and their values are placed in the order of the jobs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from migrate.engine.loading.jobs import LoadJob, Pending
from migrate.engine.loading.store_reads import HostValue
from migrate.engine.streaming.allocator import return_freed_memory
from migrate.errors import Diagnostic, RefusedError


def run_jobs(jobs: Iterable[LoadJob], limit: int, place: Callable[[Sequence[HostValue]], None]) -> None:
    """Runs all jobs.

    Args:
      jobs: the jobs; one that needs more than the limit runs alone.
      limit: host bytes of the jobs that run at once.
      place: receives the values that a job read, in this thread; afterwards they may be freed.

    Raises:
      RefusedError: a value does not allow an op; names those of all jobs that had begun.
      CheckpointError: the source cannot be read.
    """
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="load") as pool:
        running = _RunningJobs(place)
        try:
            for job in jobs:
                while running.nbytes and (running.nbytes + job.nbytes > limit or running.has_ended):
                    running.finish_oldest()
                running.add(job.begin(pool), job.nbytes)
            while running.nbytes:
                running.finish_oldest()
        except RefusedError as refused:
            raise RefusedError(*refused.diagnostics, *running.refusals()) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            return_freed_memory()


class _RunningJobs:
    """The jobs that have begun, the oldest first."""

    def __init__(self, place: Callable[[Sequence[HostValue]], None]) -> None:
        self._place = place
        self._begun: deque[tuple[Pending, int]] = deque()
        self.nbytes = 0

    def add(self, pending: Pending, nbytes: int) -> None:
        """Adds a job that has begun."""
        self._begun.append((pending, nbytes))
        self.nbytes += nbytes

    @property
    def has_ended(self) -> bool:
        """Whether the oldest job has ended."""
        return self._begun[0][0].done()

    def finish_oldest(self) -> None:
        """Waits for the oldest job and places what it read."""
        pending, nbytes = self._begun.popleft()
        self._place(pending.result())
        self.nbytes -= nbytes

    def refusals(self) -> list[Diagnostic]:
        """Waits for the other jobs, and returns the diagnostics of those that were refused."""
        found: list[Diagnostic] = []
        for pending, _ in self._begun:
            try:
                pending.result()
            except RefusedError as error:
                found += error.diagnostics
            except Exception:  # noqa: BLE001, S112  # the first refusal is reported, not what failed beside it
                continue
        return found
