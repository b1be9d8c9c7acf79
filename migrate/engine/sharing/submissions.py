"""Calls that are submitted to a pool, and submitted again where a worker dies.

A call is repeated when its future raises anything but a MigrateError, which would come again. Calls have to be safe to
repeat, also while an earlier attempt still runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from typing import Any

from migrate.codes import FailedShare
from migrate.engine.sharing.pools import Pool
from migrate.errors import MigrateError

REPEATS = 3
"""A call is submitted again at most this often."""

POLL_SECONDS = 0.2
"""Progress is reported, and Ctrl-C noticed, this often."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A function of a worker, with its arguments."""

    function: Callable[..., Any]
    args: tuple[Any, ...]


class Submissions:
    """The calls of one phase of a run."""

    def __init__(self, pool: Pool, calls: Mapping[int, Submission], what: str) -> None:
        """Submits every call.

        Args:
          pool: the pool.
          calls: the calls by number.
          what: what a call is named in messages, such as `share`.

        Raises:
          MigrateError: the executor takes no call (`FailedShare`).
        """
        self._pool = pool
        self._calls = calls
        self._what = what
        self._failures: Counter[int] = Counter()
        self._started: set[Future[Any]] = set()
        self._waiting: dict[Future[Any], int] = {}
        self._generation = 0
        self._generations: dict[Future[Any], int] = {}
        for number in calls:
            self._submit(number)

    def results(self, each: Callable[[int, Any], None], tick: Callable[[], bool]) -> bool:
        """Waits for the calls.

        Args:
          each: receives the number and the result of every call.
          tick: called several times a second; once it returns true, no further call begins.

        Returns:
          Whether `tick` stopped it.

        Raises:
          MigrateError: a call raised it, or failed too often (`FailedShare`).
        """
        halted = False
        while self._waiting:
            self._started.update(future for future in self._waiting if future.running())
            done, _ = wait(self._waiting, POLL_SECONDS, FIRST_COMPLETED)
            if tick() and not halted:
                halted = True
                self._cancel()
            for future in done:
                number = self._waiting.pop(future, None)
                if number is None:
                    continue
                try:
                    result = future.result()
                except MigrateError:
                    raise
                except Exception as error:  # noqa: BLE001 (whatever it is, another attempt may succeed)
                    if not halted:
                        self._failed(number, future, error)
                else:
                    each(number, result)
        return halted

    def end(self) -> None:
        """Withdraws the calls that have not begun and waits for the others."""
        self._cancel()
        wait(self._waiting)
        self._waiting.clear()

    def _cancel(self) -> None:
        for future in [future for future in self._waiting if future.cancel()]:
            del self._waiting[future]

    def _failed(self, number: int, future: Future[Any], error: Exception) -> None:
        """Submits a call again.

        All calls of a pool fail where one of its processes dies; only those that ran may be the reason.
        """
        broken = isinstance(error, BrokenExecutor)
        if not broken or future in self._started:
            self._failures[number] += 1
        if self._failures[number] > REPEATS:
            raise self._refusal(number, error) from error
        if broken and self._generations[future] == self._generation:
            self._renew(number, error)
        self._submit(number)

    def _renew(self, number: int, error: Exception) -> None:
        if not self._pool.renew():
            raise self._refusal(number, error) from error
        self._generation += 1

    def _submit(self, number: int) -> None:
        call = self._calls[number]
        try:
            future = self._pool.submit(call.function, *call.args)
        except BrokenExecutor as error:
            self._renew(number, error)
            future = self._pool.submit(call.function, *call.args)
        except RuntimeError as error:  # it was shut down
            raise self._refusal(number, error) from error
        self._waiting[future] = number
        self._generations[future] = self._generation

    def _refusal(self, number: int, error: Exception) -> MigrateError:
        times = self._failures[number]
        often = f" failed {times} times, the last time" if times > 1 else " failed"
        reason = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(": ")
        message = f"{self._what} {number} of {len(self._calls)}{often} with {reason}"
        advice = "run the same command again, which resumes; with fewer processes each has more memory"
        return MigrateError(FailedShare.at(message, help=advice))
