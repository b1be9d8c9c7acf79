"""Calls that fail are submitted again, unless they would fail again."""

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import pytest

from migrate.codes import LossyCast
from migrate.engine.sharing.submissions import REPEATS, Submission, Submissions
from migrate.errors import MigrateError, RefusedError


class Immediate:
    """A pool that runs a call when it is submitted."""

    workers = neighbors = 1

    def __init__(self, *, renewable=True):
        self.renewals = 0
        self._renewable = renewable

    def submit(self, function, *args):
        future = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(function(*args))
        except Exception as error:  # noqa: BLE001 (as an executor does)
            future.set_exception(error)
        return future

    def renew(self):
        self.renewals += 1
        return self._renewable


class Failing:
    """A function that fails a number of times, and then returns its number."""

    def __init__(self, times, error):
        self.calls, self._times, self._error = 0, times, error

    def __call__(self, number):
        self.calls += 1
        if self.calls <= self._times:
            raise self._error
        return number


def results_of(calls, pool=None, tick=lambda: False):
    found = {}
    submissions = Submissions(pool or Immediate(), calls, "share")
    try:
        halted = submissions.results(found.__setitem__, tick)
    finally:
        submissions.end()
    return found, halted


def test_every_result_is_passed_on_with_its_number():
    calls = {number: Submission(pow, (number, 2)) for number in range(4)}
    assert ({0: 0, 1: 1, 2: 4, 3: 9}, False) == results_of(calls)


def test_a_call_is_repeated_three_times():
    failing = Failing(REPEATS, OSError("connection lost"))
    assert ({7: 7}, False) == results_of({7: Submission(failing, (7,))})
    assert 4 == failing.calls


def test_a_call_that_fails_four_times_is_refused_with_the_last_error():
    failing = Failing(9, OSError("connection lost"))
    with pytest.raises(MigrateError) as refusal:
        results_of({0: Submission(failing, (0,))})
    found = refusal.value.diagnostics[0]
    assert ("M550", 4) == (found.code, failing.calls)
    assert "share 0 of 1 failed 4 times, the last time with OSError: connection lost" == found.message


def test_an_error_that_would_come_again_is_not_repeated():
    failing = Failing(9, RefusedError(LossyCast.at("no")))
    with pytest.raises(RefusedError):
        results_of({0: Submission(failing, (0,))})
    assert 1 == failing.calls


def test_a_broken_pool_is_replaced_once_for_all_of_its_calls():
    pool, failing = Immediate(), [Failing(1, BrokenProcessPool("died")) for _ in range(5)]
    calls = {number: Submission(one, (number,)) for number, one in enumerate(failing)}
    assert {number: number for number in range(5)} == results_of(calls, pool)[0]
    assert 1 == pool.renewals


def test_an_executor_of_the_caller_that_is_broken_is_refused():
    with pytest.raises(MigrateError) as refusal:
        results_of({0: Submission(Failing(1, BrokenProcessPool("died")), (0,))}, Immediate(renewable=False))
    assert "M550" == refusal.value.diagnostics[0].code


class ShutDown(Immediate):
    def submit(self, *_):
        raise RuntimeError("cannot schedule new futures after shutdown")


def test_an_executor_that_was_shut_down_is_refused():
    with pytest.raises(MigrateError, match="cannot schedule new futures"):
        results_of({0: Submission(pow, (1, 2))}, ShutDown())


class Waiting(Immediate):
    """A pool that never begins a call."""

    def submit(self, *_):
        return Future()


def test_calls_that_have_not_begun_are_withdrawn_when_the_run_stops():
    assert ({}, True) == results_of({0: Submission(pow, (1, 2))}, Waiting(), tick=lambda: True)
