"""Statistics as compact rows, lines of a table, and sentences."""

import json

import numpy as np
import pytest

from migrate.engine.verification.run_statistics import RunStatistics
from migrate.engine.verification.value_statistics import statistics_of
from migrate.report.of_statistics import (
    HEAD,
    compact_statistics,
    joined_statistics,
    statistics_problems,
    statistics_sentences,
    value_lines,
)
from tests.planning.trees import planned

FINITE = statistics_of(np.array([0.0, 1.0, 1.0]))
DAMAGED = statistics_of(np.array([1.0, np.nan]))


@pytest.mark.parametrize(
    ("values", "row"),
    [
        (np.array([0, 1, 1, 23]), [4, 1, 0, 0, 0, "0", "23", "6.25", "9.67923", 0.0, 24.0, "iz000000000000000000000i"]),
        (np.array([0.1, np.nan, -np.inf]), [3, 0, 1, 1, 0, "0.1", "0.1", "0.1", "0", 0.1, 0.1, "z"]),
        (np.array([np.inf], np.float32), [1, 0, 0, 0, 1, None, None, None, None]),
        (np.zeros(0), [0, 0, 0, 0, 0, None, None, None, None]),
        (np.array([2**64 - 1], np.uint64), [1, 0, 0, 0, 0, *2 * ["18446744073709551615"], "1.84467e+19", "0"]),
    ],
)
def test_a_row_has_what_the_page_draws(values, row):
    found = compact_statistics(statistics_of(values))
    assert row == found[: len(row)]
    assert len(found) in (9, 12)
    json.dumps(found, allow_nan=False)


def test_a_bin_with_few_values_is_visible():
    rare = np.concatenate([np.zeros(100_000), [20.5]])
    assert "z" + 19 * "0" + "1" == compact_statistics(statistics_of(rare))[-1]


def test_the_edges_of_the_largest_floats_are_numbers():
    low, high, _ = compact_statistics(statistics_of(np.array([-1.7e308, 1.79e308])))[-3:]
    assert (np.finfo(float).max, True) == (high, low < -1.7e308)


def test_digits_of_a_mean_that_depend_on_the_order_of_a_sum_are_not_shown():
    values = np.array([0.1, 0.2, 0.3, -0.6])
    means = {compact_statistics(statistics_of(order))[7] for order in (values, values[::-1])}
    assert {"0"} == means


def test_joined_leaves_have_the_statistics_of_all_and_tied_ones_count_once():
    rules = "- {from: 'a/{i}', to: b, ops: [{stack: {axis: 0, over: i}}]}\n- {from: c, to: [d, e]}"
    plan = planned(rules, {"a/0": "2", "a/1": "2", "c": "3"}, {"b": "2,2", "d": "3", "e": "3"})
    before = {("a", "0"): FINITE, ("a", "1"): DAMAGED, ("c",): FINITE}
    measured = RunStatistics(before, {("b",): FINITE, ("d",): FINITE, ("e",): FINITE})
    stack, tie = (next(task for task in plan.tasks if task.targets[0] == path) for path in (("b",), ("d",)))
    assert (5, 1) == (lambda one: (one.elements, one.nan))(joined_statistics(stack, measured)[0])
    assert (FINITE, FINITE) == joined_statistics(tie, measured)
    assert (None, FINITE) == joined_statistics(stack, RunStatistics({("a", "0"): FINITE}, {("b",): FINITE}))
    lines = list(value_lines(plan, measured))
    assert {len(HEAD)} == {len(line) for line in lines}
    assert ["a/0, a/1", "before", "5"] == list(lines[0][:3])
    assert 4 == len(lines)


def test_leaves_that_are_not_finite_are_counted_and_the_first_is_named():
    one = RunStatistics({("a",): DAMAGED}, {("a",): DAMAGED, ("b",): FINITE})
    assert [
        "Measured the values of 1 leaf before and 2 leaves after the run.",
        "1 leaf of new has NaN or infinite values: `a`.",
    ] == list(statistics_sentences(one, "new"))
    two = RunStatistics({}, {("a",): DAMAGED, ("b",): DAMAGED})
    assert "2 leaves of new have NaN or infinite values: the first is `a`." == list(statistics_sentences(two, "new"))[1]
    assert 1 == len(list(statistics_sentences(RunStatistics({}, {("b",): FINITE}), "new")))


def test_what_was_not_measured_is_said():
    assert [] == list(statistics_problems(RunStatistics()))
    failed, stopped = statistics_problems(RunStatistics(failures=("`a` of old: why", "`b` of old: why"), stopped=True))
    assert "Warning: values were not measured: `a` of old: why (1 more). The result is complete." == failed
    assert "was stopped" in stopped
