"""The shares that other processes staged before, for a run that only commits them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from migrate.codes import MissingShares
from migrate.engine.preflight import Job
from migrate.engine.sharing.dealing import Dealt, deal
from migrate.engine.sharing.refusals import refuse_unshared
from migrate.engine.sharing.workers import Errand, OthersArrays, Workers
from migrate.engine.workspace.attempts import attempts
from migrate.engine.workspace.resume import Finished
from migrate.errors import Diagnostic, StoppedError
from migrate.formats.reader import Reader

_SHOWN = 8


class FinishedShares(Workers):
    """Shares of which every array has to be staged already."""

    one_run = True

    def __init__(self, command: str) -> None:
        """Args:
        command: the command that stages a share, without the number of the share.
        """
        self._command = command

    def check(self, job: Job, reader: Reader) -> None:
        """Refuses a plan that has no shares.

        Raises:
          UsageError: it cannot be shared (`UnsharedPlan`).
        """
        refuse_unshared(job, reader, 1, together=False)

    @contextmanager
    def staging(self, errand: Errand, earlier: Finished) -> Iterator[OthersArrays]:
        """Yields the plan of what no share stages.

        Raises:
          StoppedError: arrays of shares are missing (`MissingShares`).
        """
        plan, items = errand.job.plan, errand.items
        missing = [share.number for share in deal(plan, items, _count(errand), earlier.arrays) if share.nbytes]
        if missing:
            raise StoppedError(self._missing(errand, earlier))
        yield OthersArrays(Dealt(plan).without(deal(plan, items, 1)))

    def _missing(self, errand: Errand, earlier: Finished) -> Diagnostic:
        """Names the shares by the numbers with which their processes were started."""
        plan, count = errand.job.plan, _count(errand)
        lacking = [
            share.number
            for share in deal(plan, errand.items, count)
            if not all(path in earlier.arrays for path in share.targets(plan))
        ]
        shown = ", ".join(f"{number}/{count}" for number in lacking[:_SHOWN])
        more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        which = f"{len(lacking)} of {count} shares are not staged: {shown}{more}"
        if not attempts(errand.work.path):
            which = f"no share of this plan is staged beside `{errand.job.destination}`"
        return MissingShares.at(
            f"{which}; nothing was published",
            help=f"`{self._command} --share {lacking[0]}/{count}`, then the same `commit` again",
        )


def _count(errand: Errand) -> int:
    """Returns the number of shares into which the plan was divided, as the latest attempt records it."""
    return next((found.shares for found in reversed(attempts(errand.work.path)) if found.shares), 1)
