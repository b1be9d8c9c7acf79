"""Shares: every unit of work is in one of them, and they are about as large."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.engine.outputs.orbax import OUTPUT
from migrate.engine.sharing.dealing import SHARE_BYTES, SHARES_PER_WORKER, Dealt, Share, deal, share_count
from migrate.tree import AbstractArray
from tests.engine.sharing.shared_runs import RULES, STREAMED
from tests.engine.sources import opened, plan_for


@pytest.fixture(scope="module")
def plan(source):
    with opened(source) as reader:
        return plan_for(reader, RULES)


def shares_of(plan, count, finished=()):
    return deal(plan, OUTPUT.shared_items(plan), count, finished)


@given(count=st.integers(1, 20))
def test_every_streamed_array_is_in_one_share(plan, count):
    shares = shares_of(plan, count)
    assert count == len(shares)
    assert sorted(STREAMED) == sorted(path for share in shares for path in share.targets(plan))


@given(count=st.integers(1, 20))
def test_no_share_is_larger_than_the_smallest_by_more_than_one_unit(plan, count):
    sizes = [share.nbytes for share in shares_of(plan, count)]
    largest = max(task.in_bytes + task.out_bytes for task in plan.tasks) + (1 << 20)
    assert max(sizes) - min(sizes) <= largest


def test_equal_tasks_are_dealt_evenly(plan):
    flat = [position for position, task in enumerate(plan.tasks) if task.targets[0][0] == "flat"]
    finished = STREAMED - {plan.tasks[position].targets[0] for position in flat}
    assert [4, 4] == [len(share.tasks) for share in shares_of(plan, 2, finished)]


def test_finished_arrays_are_left_out(plan):
    finished = {("flat", "0"), ("step",)}
    left = [path for share in shares_of(plan, 3, finished) for path in share.targets(plan)]
    assert sorted(STREAMED - finished) == sorted(left)


def test_strings_and_linked_arrays_are_in_no_share(plan):
    share = shares_of(plan, 1)[0]
    assert {("title",), ("kept", "0")}.isdisjoint(share.targets(plan))


def test_the_parts_of_a_plan_stream_each_array_once(plan):
    shares, dealt = shares_of(plan, 3), Dealt(plan)
    parts = [*(dealt.only(share) for share in shares), dealt.without(shares)]
    streamed = [task.targets for part in parts for task in part.tasks if task.mode == "stream"]
    assert sorted(task.targets for task in plan.tasks if task.mode == "stream") == sorted(streamed)
    assert {len(plan.tasks)} == {len(part.tasks) for part in parts}


def test_a_share_is_the_same_after_a_round_trip_through_json(plan):
    share = shares_of(plan, 2)[1]
    assert share == Share.from_json(share.to_json())


def test_small_plans_get_a_share_for_each_worker_and_none_more_than_units(plan):
    items = OUTPUT.shared_items(plan)
    assert [1, 3, len(STREAMED)] == [share_count(plan, items, workers) for workers in (1, 3, 50)]
    assert 0 == share_count(plan, items, 3, STREAMED)


def test_large_plans_get_several_shares_for_each_worker(plan):
    rows = SHARE_BYTES * SHARES_PER_WORKER * 4 // 64
    large = AbstractArray((rows, 64), "float32")
    tasks = tuple(replace(task, in_avals=(large,), out_avals=(large,)) for task in plan.tasks)
    sized = replace(plan, tasks=tasks)
    assert 2 * SHARES_PER_WORKER == share_count(sized, OUTPUT.shared_items(plan), 2)
