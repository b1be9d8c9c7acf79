"""Runs jobs under a byte budget: reads overlap, and what they bring lands on the devices in the order of the jobs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from migrate.engine.loading.jobs import LoadJob, Pending
from migrate.engine.loading.store_reads import Arrival
from migrate.engine.streaming.budget import return_freed_memory
from migrate.errors import Diagnostic, RefusedError


def run_jobs(jobs: Iterable[LoadJob], limit: int, land: Callable[[Arrival], None]) -> None:
    """Runs all jobs.

    Args:
      jobs: the jobs; one that needs more than the limit runs alone.
      limit: host bytes of the jobs that run at once.
      land: receives everything that the jobs bring, in this thread; what it received may be freed afterwards.

    Raises:
      RefusedError: a value does not allow an op; names those of all jobs that had begun.
      CheckpointError: the source cannot be read.
    """
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="load") as pool:
        flight = _Flight(land)
        try:
            for job in jobs:
                while flight.nbytes and (flight.nbytes + job.nbytes > limit or flight.has_landed):
                    flight.land_oldest()
                flight.add(job.begin(pool), job.nbytes)
            while flight.nbytes:
                flight.land_oldest()
        except RefusedError as refused:
            raise RefusedError(*refused.diagnostics, *flight.refusals()) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            return_freed_memory()


class _Flight:
    """The jobs that have begun, the oldest first."""

    def __init__(self, land: Callable[[Arrival], None]) -> None:
        self._land = land
        self._begun: deque[tuple[Pending, int]] = deque()
        self.nbytes = 0

    def add(self, pending: Pending, nbytes: int) -> None:
        """Adds a job that has begun."""
        self._begun.append((pending, nbytes))
        self.nbytes += nbytes

    @property
    def has_landed(self) -> bool:
        """Whether the oldest job has ended."""
        return self._begun[0][0].done()

    def land_oldest(self) -> None:
        """Waits for the oldest job and lands what it brings."""
        pending, nbytes = self._begun.popleft()
        for arrival in pending.result():
            self._land(arrival)
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
