"""The executors that run shares: a pool of processes on this machine, Dask's, or one that the caller has."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Literal, Protocol

from migrate.codes import MissingPackage, UnreachableWorkers
from migrate.errors import MigrateError

WAIT_SECONDS = 30
"""A scheduler is given this time to answer, and to get its first worker."""


_ADDRESS = re.compile(r"\w+://(?P<host>.+):(?P<port>\d{1,6})", re.ASCII)


_THREADED = frozenset({"jax", "distributed"})
"""Modules that start threads."""


class Pool(Protocol):
    """An executor, and what a run has to know about it."""

    @property
    def workers(self) -> int:
        """The number of shares that it runs at once."""

    @property
    def neighbors(self) -> int:
        """The number of them on one machine, which share its memory."""

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Submits a call."""

    def renew(self) -> bool:
        """Replaces an executor that is broken; returns whether it could."""


class _Closing:
    """A context manager that calls `close`."""

    def close(self) -> None:
        """Releases the executor."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalPool(_Closing):
    """Processes on this machine, which are started when the first share is submitted. A context manager."""

    def __init__(self, processes: int) -> None:
        self.workers = self.neighbors = processes
        self._executor: ProcessPoolExecutor | None = None
        self._others: frozenset[BaseProcess] = frozenset()

    def __enter__(self) -> LocalPool:
        return self

    def start(self) -> None:
        """Forks the processes now, if this one has no thread yet that a fork would lose.

        They have imported what they need then, which costs a process of its own half a second of CPU.
        """
        from migrate.engine.outputs import orbax  # noqa: F401 (the workers need it)

        if sys.platform == "linux" and threading.active_count() == 1 and not _THREADED.intersection(sys.modules):
            self._executor = self._new("fork")
            self._executor.submit(os.getpid)

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Submits a call."""
        if self._executor is None:
            self._executor = self._new("spawn")
        return self._executor.submit(function, *args)

    def _new(self, method: Literal["fork", "spawn"]) -> ProcessPoolExecutor:
        from migrate.engine.sharing.worker import begin

        context = multiprocessing.get_context(method)
        self._others = frozenset(multiprocessing.active_children())
        return ProcessPoolExecutor(self.workers, mp_context=context, initializer=begin)

    def renew(self) -> bool:
        """Starts new processes in place of those of a broken pool."""
        self.close()
        return True

    def close(self) -> None:
        """Ends the processes; none of them has a call of which the result is needed.

        They are not asked to end: one that was killed while it waited for a call keeps the others from seeing one.
        """
        if self._executor is None:
            return
        mine = set(multiprocessing.active_children()) - self._others
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in mine:
            process.kill()
        for process in mine:
            process.join()
        self._executor = None


class GivenExecutor:
    """An executor of the caller, who also shuts it down.

    Its workers count as on one machine, unless the caller knows better.
    """

    def __init__(self, executor: Executor, workers: int | None = None, neighbors: int | None = None) -> None:
        self._executor = executor
        self.workers = workers or getattr(executor, "_max_workers", None) or os.cpu_count() or 1
        self.neighbors = neighbors or self.workers

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Submits a call."""
        return self._executor.submit(function, *args)

    def renew(self) -> bool:
        """Returns false: only the caller can make another one."""
        return False


class DaskPool(GivenExecutor, _Closing):
    """The workers of a Dask scheduler. A context manager."""

    def __init__(self, address: str) -> None:
        """Connects to a scheduler.

        Args:
          address: such as `tcp://host:8786`.

        Raises:
          MigrateError: Dask is not installed (`MissingPackage`), or no scheduler or worker answers
            (`UnreachableWorkers`).
        """
        self._client = _connected(address)
        try:
            threads = _threads(self._client, address)
        except BaseException:
            self._client.close()
            raise
        executor = self._client.get_executor(retries=0, pure=False)
        super().__init__(executor, sum(threads.values()), max(threads.values()))

    def __enter__(self) -> DaskPool:
        return self

    def close(self) -> None:
        """Closes the connection; scheduler and workers stay."""
        self._client.close()


def _connected(address: str) -> Any:
    try:
        from distributed import Client  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        message = "`--on` needs the package `distributed` (Dask), which is not installed"
        raise MigrateError(MissingPackage.at(message, help="`pip install 'migrate-jax[dask]'`")) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it logs every attempt to connect
    _refuse_silent(address)
    connect: Any = Client
    try:
        return connect(address, timeout=WAIT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise _unanswered(address, str(error).partition("\n")[0] or type(error).__name__) from error


def _refuse_silent(address: str) -> None:
    """Refuses an address at which nothing listens: a client of Dask that cannot connect may block the next one."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise _unanswered(address, "it is not of the form tcp://HOST:PORT")
    try:
        socket.create_connection((found["host"].strip("[]"), int(found["port"])), WAIT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unanswered(address, getattr(error, "strerror", None) or str(error)) from error


def _unanswered(address: str, reason: str) -> MigrateError:
    advice = "start one with `dask scheduler`; `--on` takes the address that it prints, such as tcp://host:8786"
    return MigrateError(UnreachableWorkers.at(f"no Dask scheduler answers at `{address}`: {reason}", help=advice))


def _threads(client: Any, address: str) -> Counter[str]:
    """Returns the number of threads of all workers of each host."""
    try:
        client.wait_for_workers(1, timeout=WAIT_SECONDS)
    except TimeoutError as error:
        message = f"the Dask scheduler at `{address}` has no worker"
        raise MigrateError(UnreachableWorkers.at(message, help=f"start some: `dask worker {address}`")) from error
    found: Counter[str] = Counter()
    for worker in client.scheduler_info(n_workers=-1)["workers"].values():
        found[worker["host"]] += worker["nthreads"]
    return found
