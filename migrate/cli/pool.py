"""The processes that stage the arrays of a run: this one, several on this machine, or the workers of Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from migrate.codes import InvalidUsage
from migrate.errors import UsageError

if TYPE_CHECKING:
    from migrate.engine.sharing.workers import Workers

Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class PoolChoice:
    """Where shares of a plan are staged.

    Attributes:
      processes: the number of processes on this machine.
      on: the address of a Dask scheduler; None for none.
    """

    processes: int = 1
    on: str | None = None

    @contextmanager
    def workers(self, *, dry_run: bool) -> Iterator[Workers]:
        """Yields the workers; processes start when they are needed.

        Args:
          dry_run: whether nothing is staged, so that no scheduler is needed.

        Raises:
          MigrateError: no worker of Dask can be reached (`UnreachableWorkers`, `MissingPackage`).
        """
        from migrate.engine.sharing.workers import Workers
        from migrate.engine.streaming.allocator import keep_freed_memory

        keep_freed_memory()
        if self.on is None and self.processes == 1:
            yield Workers()
            return
        from migrate.engine.sharing.pool_workers import PoolWorkers
        from migrate.engine.sharing.pools import DaskPool, LocalPool

        if self.on is not None and not dry_run:
            with DaskPool(self.on) as dask:
                yield PoolWorkers(dask)
            return
        with LocalPool(self.processes) as local:
            if not dry_run:
                local.start()
            yield PoolWorkers(local)


LOCAL = PoolChoice()
"""This process alone."""


def pool_options(function: Command) -> Command:
    """Adds the options to a command, which gets them as one argument, `pool`."""

    @wraps(function)
    def command(*args: Any, processes: int | None, on: str | None, **others: Any) -> None:
        if processes is not None and on is not None:
            advice = "give one of them; the number of Dask's workers is that of the `dask worker` processes"
            raise UsageError(InvalidUsage.at("`--processes` and `--on` exclude each other", help=advice))
        function(*args, pool=PoolChoice(processes or 1, on), **others)

    decorated: Command = command
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.option(
        "--processes",
        type=click.IntRange(min=1),
        metavar="N",
        help="Processes on this machine that stage and verify arrays; --max-ram and --jobs are divided among them "
        "(default: 1).",
    ),
    click.option(
        "--on",
        metavar="ADDRESS",
        help="Stage and verify on the workers of a Dask scheduler, such as tcp://host:8786, which see SRC and DST "
        "under the same paths (default: on this machine).",
    ),
)
