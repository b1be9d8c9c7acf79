"""The byte budget: nothing beyond it is granted, and everybody is served."""

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.engine.streaming.budget import LEAF_BYTES, Budget, task_bytes, value_bytes
from migrate.ops.cast import Cast
from migrate.ops.transpose import Transpose
from migrate.planning.model import Step, Task
from migrate.tree import AbstractArray


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 150), max_size=40), st.integers(1, 8))
def test_everybody_is_served_and_the_budget_is_never_exceeded(requests, threads):
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


@settings(max_examples=30, deadline=None)
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


def test_who_waits_is_not_overtaken():
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


def test_what_is_held_back_can_be_let_go_before_waiting():
    budget = Budget(10)
    budget.reserve(8)
    seen = []

    def let_go():
        seen.append(budget.contended)
        budget.release(8)

    budget.reserve(8, before_waiting=let_go)
    assert [True] == seen
    assert 8 == budget.reserved


def test_nobody_waits_for_work_that_failed():
    budget = Budget(10)
    budget.reserve(10)
    thread = threading.Thread(target=lambda: budget.reserve(10))
    thread.start()
    budget.abandon()
    thread.join(5)
    assert not thread.is_alive()


def test_a_task_costs_its_sources_its_results_and_their_encoded_form():
    matrix, half = AbstractArray((1024, 1024), "float32"), AbstractArray((1024, 1024), "bfloat16")
    steps = (Step(Transpose(), ((0,),)), Step(Cast("bfloat16"), ((0,),)))
    task = Task((("a",),), (("b",),), (0,), steps, (matrix,), (half,))
    assert 3 * matrix.nbytes <= task_bytes(task) < 4 * matrix.nbytes
    rename = Task((("a",),), (("b",),), (0,), (), (matrix,), (matrix,))
    assert 3 * matrix.nbytes <= task_bytes(rename) < 4 * matrix.nbytes


def test_while_results_are_written_the_sources_and_two_copies_of_the_results_are_reserved():
    small, large = AbstractArray((1024, 1024), "bfloat16"), AbstractArray((1024, 1024), "float32")
    widened = Task((("a",),), (("b",),), (0,), (Step(Cast("float32"), ((0,),)),), (small,), (large,))
    assert small.nbytes + 2 * large.nbytes + LEAF_BYTES == task_bytes(widened)


def test_targets_that_are_tied_are_written_once_each():
    matrix = AbstractArray((1024, 1024), "float32")
    tied = Task((("a",),), (("b",), ("c",)), (0, 0), (), (matrix,), (matrix, matrix))
    assert (1 + 2 * 2) * matrix.nbytes + 2 * LEAF_BYTES == task_bytes(tied)


def test_a_created_value_is_reserved_with_a_copy_and_its_encoded_chunks():
    assert 3 * (4 << 20) + LEAF_BYTES == value_bytes(4 << 20)
