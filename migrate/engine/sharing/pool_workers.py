"""The workers of a pool: they stage shares of a plan, and read shares of its result back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from migrate.engine.linking.link import Link
from migrate.engine.options import ApplyOptions
from migrate.engine.preflight import Job
from migrate.engine.sharing.dealing import Dealt, Share, deal, share_count
from migrate.engine.sharing.order import new_order, share_of
from migrate.engine.sharing.pools import Pool
from migrate.engine.sharing.progress import JournalTail
from migrate.engine.sharing.refusals import refuse_unshared
from migrate.engine.sharing.staging import StagedShare, StopFile
from migrate.engine.sharing.submissions import Submission, Submissions
from migrate.engine.sharing.worker import check_share, run_share
from migrate.engine.sharing.workers import Errand, OthersArrays, Told, Workers
from migrate.engine.workspace.resume import Finished, Shared, SharedArray
from migrate.events import LeafDone, Listener
from migrate.formats.reader import Reader
from migrate.planning.model import Plan
from migrate.tree import KeyPath


class PoolWorkers(Workers):
    """The workers of a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def check(self, job: Job, reader: Reader) -> None:
        """Refuses a run that cannot be shared; writes nothing.

        Raises:
          UsageError: it cannot (`UnsharedPlan`), or the workers of a machine get too little memory (`InvalidUsage`).
        """
        refuse_unshared(job, reader, self._pool.neighbors)

    def own_options(self, options: ApplyOptions) -> ApplyOptions:
        """Returns the options for what the run does itself, beside its workers."""
        return share_of(options, self._pool.neighbors)

    @contextmanager
    def staging(self, errand: Errand, earlier: Finished) -> Iterator[StagingShares]:
        """Deals out what is to be staged; on exit, no worker has any of it in work.

        Args:
          errand: the run.
          earlier: what earlier runs staged.

        Raises:
          MigrateError: as `migrate.engine.sharing.staging.stage_share`, or a share failed too often (`FailedShare`).
        """
        plan, items = errand.job.plan, errand.items
        count = share_count(plan, items, self._pool.workers, earlier.arrays)
        shares = deal(plan, items, count, earlier.arrays)
        stop = StopFile(errand.work)
        stop.remove()
        rest = Dealt(plan).without(shares)
        if shares:
            errand.job.output.prepare_shares(plan, errand.reader, errand.work, errand.job.options)
        staging = StagingShares(errand, earlier, rest, stop, self._calls(errand, shares), self._pool)
        try:
            yield staging
        except BaseException:
            stop.write()
            raise
        finally:
            staging.end()

    def _calls(self, errand: Errand, shares: Collection[Share]) -> Mapping[int, Submission]:
        if not shares:
            return {}
        order = self._order(errand)
        return {share.number: Submission(run_share, (order, share.to_json(), len(shares))) for share in shares}

    def check_digests(
        self, errand: Errand, digests: Mapping[KeyPath, str], links: Sequence[Link], listener: Listener
    ) -> int:
        """Reads arrays of the result back, as many bytes in each worker; returns their number.

        Raises:
          VerifyError: arrays differ (`VerificationFailed`).
          CheckpointError: the result cannot be read.
          MigrateError: a share failed too often (`FailedShare`).
        """
        hands = _even(errand.job.plan, digests, self._pool.workers)
        submissions = Submissions(self._pool, self._checks(errand, digests, hands), "the verification of share")
        compared = 0

        def each(number: int, count: int) -> None:
            nonlocal compared
            compared += count
            for path in hands[number]:
                listener(LeafDone("verify", path, errand.job.plan.target.leaves[path].nbytes))

        try:
            submissions.results(each, errand.stopped)
        finally:
            submissions.end()
        return compared + super().check_digests(errand, {}, links, listener)

    def _checks(
        self, errand: Errand, digests: Mapping[KeyPath, str], hands: Sequence[Sequence[KeyPath]]
    ) -> Mapping[int, Submission]:
        if not hands:
            return {}
        order, result = self._order(errand), str(errand.work.result)
        pairs = ([(list(path), digests[path]) for path in hand] for hand in hands)
        return {number: Submission(check_share, (order, result, each)) for number, each in enumerate(pairs)}

    def _order(self, errand: Errand) -> Mapping[str, Any]:
        return new_order(errand.job, errand.reader, errand.work, errand.origin, self._pool.neighbors).to_json()


def _even(plan: Plan, paths: Collection[KeyPath], count: int) -> list[list[KeyPath]]:
    """Divides arrays by bytes, the largest first."""
    hands: list[list[KeyPath]] = [[] for _ in range(count)]
    loads = [0] * count
    for path in sorted(paths, key=lambda path: -plan.target.leaves[path].nbytes):
        number = loads.index(min(loads))
        hands[number].append(path)
        loads[number] += plan.target.leaves[path].nbytes + 1
    return [hand for hand in hands if hand]


class StagingShares(OthersArrays):
    """The arrays of shares that workers stage."""

    def __init__(
        self, errand: Errand, earlier: Finished, rest: Plan, stop: StopFile, calls: Mapping[int, Submission], pool: Pool
    ) -> None:
        super().__init__(rest)
        self._errand = errand
        self._earlier = earlier
        self._stop = stop
        self._submissions = Submissions(pool, calls, "share")
        self._arrays: dict[KeyPath, SharedArray] = {}
        self._stopped = False

    def collect(self, told: Told) -> Shared:
        """Waits for the shares; returns their arrays.

        Args:
          told: receives the key path of every array, soon after it is durable.

        Raises:
          MigrateError: as `PoolWorkers.staging`.
        """
        tail = JournalTail(self._errand.work, told, self._earlier.arrays)

        def tick() -> bool:
            tail.poll()
            if self._errand.stopped() and not self._stopped:
                self._stopped = True
                self._stop.write()
            return self._stopped

        def each(number: int, fields: Mapping[str, object]) -> None:
            del number
            staged = StagedShare.from_json(fields, self._errand.work.path)
            self._arrays.update(staged.arrays)
            for path in staged.arrays:
                tail.tell(path)

        self._submissions.results(each, tick)
        return self._arrays

    def end(self) -> None:
        """Waits for the shares in work."""
        self._submissions.end()
