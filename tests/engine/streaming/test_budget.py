"""The byte budget: it is never exceeded, and every request is granted."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.engine.streaming import budget
from migrate.engine.streaming.budget import LEAF_BYTES, Budget, task_bytes, value_bytes
from migrate.ops.cast import Cast
from migrate.ops.transpose import Transpose
from migrate.planning.model import Step, Task
from migrate.tree import AbstractArray
from tests.matrix import examples


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.integers(0, 150), max_size=40), st.integers(1, 8))
def test_every_request_is_granted_and_the_budget_is_never_exceeded(requests, threads):
    budget = Budget(100)
    seen = []

    def use(nbytes):
        budget.reserve(nbytes)
        seen.append((nbytes, budget.reserved))
        budget.release(nbytes)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(use, requests))
    assert len(requests) == len(seen)
    assert all(reserved <= max(100, 150) for _, reserved in seen)
    assert 0 == budget.reserved


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.integers(1, 100), min_size=1, max_size=40))
def test_requests_that_fit_never_add_up_to_more_than_the_budget(requests):
    budget = Budget(100)
    lock = threading.Lock()
    held, most = [0], [0]

    def use(nbytes):
        budget.reserve(nbytes)
        with lock:
            held[0] += nbytes
            most[0] = max(most[0], held[0])
        with lock:
            held[0] -= nbytes
        budget.release(nbytes)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, requests))
    assert most[0] <= 100


def test_a_request_beyond_the_budget_waits_until_it_is_alone():
    budget = Budget(10)
    budget.reserve(1)
    granted = threading.Event()
    thread = threading.Thread(target=lambda: (budget.reserve(1000), granted.set()))
    thread.start()
    assert not granted.wait(0.05)
    budget.release(1)
    assert granted.wait(5)
    thread.join()
    assert 1000 == budget.reserved


def test_requests_are_granted_in_their_order():
    budget = Budget(10)
    budget.reserve(5)
    order = []
    waiting = threading.Event()
    large = threading.Thread(
        target=lambda: (budget.reserve(10, waiting.set), order.append("large"), budget.release(10))
    )
    large.start()
    assert waiting.wait(5)
    small = threading.Thread(target=lambda: (budget.reserve(1), order.append("small"), budget.release(1)))
    small.start()
    assert budget.contended
    budget.release(5)
    large.join(5)
    small.join(5)
    assert ["large", "small"] == order


def test_finished_work_can_be_released_before_waiting():
    budget = Budget(10)
    budget.reserve(8)
    seen = []

    def release():
        seen.append(budget.contended)
        budget.release(8)

    budget.reserve(8, before_waiting=release)
    assert [True] == seen
    assert 8 == budget.reserved


def test_no_request_waits_after_a_failure():
    budget = Budget(10)
    budget.reserve(10)
    thread = threading.Thread(target=lambda: budget.reserve(10))
    thread.start()
    budget.abandon()
    thread.join(5)
    assert not thread.is_alive()


def test_a_request_that_fails_before_it_waits_leaves_the_queue():
    budget = Budget(10)
    budget.reserve(10)

    def fail():
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        budget.reserve(5, before_waiting=fail)
    assert not budget.contended
    budget.release(10)
    budget.reserve(10)
    assert 10 == budget.reserved


MIB = 1 << 20
WIDE, NARROW = AbstractArray((1024, 1024), "float32"), AbstractArray((1024, 1024), "bfloat16")
"""4 MiB and 2 MiB."""
COSTS = {
    "a source beside its encoded and decoded chunk": ([Transpose(), Cast("bfloat16")], WIDE, NARROW, 12),
    "a rename": ([], WIDE, WIDE, 12),
    "inputs and outputs of a step beside the source": ([Cast("float32"), Cast("bfloat16")], NARROW, NARROW, 8),
    "results and their encoded copy beside the source": ([Cast("float32")], NARROW, WIDE, 10),
}


@pytest.mark.parametrize(("ops", "source", "result", "mib"), COSTS.values(), ids=COSTS)
def test_a_task_costs_the_most_that_it_holds_at_once(ops, source, result, mib):
    task = Task((("a",),), (("b",),), (0,), tuple(Step(op, ((0,),)) for op in ops), (source,), (result,))
    assert mib * MIB + LEAF_BYTES == task_bytes(task)


def test_targets_that_are_tied_are_written_once_each():
    matrix = AbstractArray((1024, 1024), "float32")
    tied = Task((("a",),), (("b",), ("c",)), (0, 0), (), (matrix,), (matrix, matrix))
    assert (1 + 2 * 2) * matrix.nbytes + 2 * LEAF_BYTES == task_bytes(tied)


def test_a_created_value_is_reserved_with_a_copy_and_its_encoded_chunks():
    assert 3 * (4 << 20) + LEAF_BYTES == value_bytes(4 << 20)


@pytest.mark.parametrize(
    ("limit", "trims"), [(1, 8), (64 << 20, 8), (0, 4), (256 << 20, 4), (512 << 20, 2), (2 << 30, 0)]
)
def test_freed_memory_is_returned_less_often_under_a_larger_budget(monkeypatch, limit, trims):
    calls = []
    monkeypatch.setattr(budget, "return_freed_memory", lambda: calls.append(1))
    trimmer = budget.Trimmer(limit)
    for _ in range(8):
        trimmer.add(32 << 20)
    assert trims == len(calls)
