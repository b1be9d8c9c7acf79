"""Jobs overlap under the limit, and their values are placed in their order."""

from concurrent.futures import Future

import pytest

from migrate.codes import LossyCast
from migrate.engine.loading.jobs import LoadJob
from migrate.engine.loading.run_jobs import run_jobs
from migrate.engine.loading.store_reads import HostValue
from migrate.errors import CheckpointError, RefusedError


class Ledger:
    """The jobs that have begun, and those whose values were placed."""

    def __init__(self):
        self.begun, self.placed, self.most = [], [], 0

    def job(self, number, nbytes, error=None):
        def begin(pool):
            self.begun.append(number)
            self.most = max(self.most, len(self.begun) - len(self.placed))
            return pool.submit(self._bring, number, error)

        return LoadJob(nbytes, begin)

    def _bring(self, number, error):
        if error:
            raise error
        return [HostValue((str(number),), None, number)]

    def place(self, values):
        self.placed += [found.value for found in values]


def test_all_values_are_placed_in_the_order_of_the_jobs():
    ledger = Ledger()
    run_jobs((ledger.job(n, 10) for n in range(50)), 100, ledger.place)
    assert list(range(50)) == ledger.placed
    assert ledger.most <= 10


class Slow:
    """A job that ends only when it is waited for."""

    def __init__(self, number):
        self.number = number

    def done(self):
        return False

    def result(self):
        return [HostValue((), None, self.number)]


def test_as_many_jobs_begin_as_the_limit_allows():
    begun, placed = [], []

    def job(number):
        return LoadJob(40, lambda _: begun.append(number) or Slow(number))

    run_jobs(map(job, range(4)), 100, lambda values: placed.extend((found.value, len(begun)) for found in values))
    assert [(0, 2), (1, 3), (2, 4), (3, 4)] == placed


def test_a_job_beyond_the_limit_runs_alone():
    ledger = Ledger()
    run_jobs([ledger.job(0, 500), ledger.job(1, 500)], 100, ledger.place)
    assert ([0, 1], 1) == (ledger.placed, ledger.most)


def test_a_job_that_has_ended_is_placed_before_the_next_begins():
    done, order = Future(), []
    done.set_result([HostValue((), None, "first")])
    jobs = [LoadJob(1, lambda _: done), LoadJob(1, lambda _: order.append("second begins") or done)]
    run_jobs(jobs, 100, lambda values: order.extend(found.value for found in values))
    assert ["first", "second begins", "first"] == order


def refusal(text):
    return RefusedError(LossyCast.at(text))


def test_the_refusals_of_all_jobs_that_had_begun_are_named():
    ledger = Ledger()
    jobs = [LoadJob(1, lambda _: Failing(refusal("a"))), ledger.job(1, 1), LoadJob(1, lambda _: Failing(refusal("b")))]
    with pytest.raises(RefusedError) as error:
        run_jobs(jobs, 100, ledger.place)
    assert ["a", "b"] == [diagnostic.message for diagnostic in error.value.diagnostics]


class Failing:
    """A job that fails when it is waited for."""

    def __init__(self, error):
        self.error = error

    def done(self):
        return False

    def result(self):
        raise self.error


def test_the_first_other_failure_is_raised_and_nothing_is_placed_after_it():
    ledger = Ledger()
    with pytest.raises(CheckpointError):
        run_jobs([LoadJob(1, lambda _: Failing(CheckpointError())), ledger.job(1, 1)], 100, ledger.place)
    assert [] == ledger.placed
