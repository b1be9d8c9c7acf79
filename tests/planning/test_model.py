"""The plan as a value: its verbs, its bytes, and the digest over everything that decides the output."""

from dataclasses import replace

import pytest

from tests.planning.trees import planned


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('- "a -> a"', "keep"),
        ('- "a -> b"', "rename"),
        ("- {from: a, to: [b, c]}", "tie"),
        ("- {from: a, to: b, ops: [transpose, {cast: bfloat16}]}", "transpose"),
        ("- {from: a, to: [b, c], ops: [transpose, {split: {axis: 0}}]}", "split"),
    ],
)
def test_the_verb_is_the_op_that_changes_the_leaf_most(rule, expected):
    (task,) = planned(rule, {"a": "4,6"}).tasks
    assert expected == task.verb


def test_bytes_count_arrays_that_are_read_and_written():
    plan = planned('- {from: a, to: b, ops: [{cast: bfloat16}]}\n- drop: {from: z, assert: zero}\n- drop: "y"', {
        "a": "4", "z": "3", "y": "100",
    })  # fmt: skip
    assert (4 * 4 + 3 * 4, 4 * 2) == (plan.bytes_read, plan.bytes_written)
    linked = replace(plan, tasks=tuple(replace(task, mode="relink") for task in plan.tasks))
    assert (3 * 4, 0, 0) == (linked.bytes_read, linked.bytes_written, linked.peak_host_bytes)


def test_the_peak_is_the_largest_task_within_the_limit():
    plan = planned("", {"a": "4", "b": "8"})
    assert 2 * 8 * 4 == plan.peak_host_bytes
    assert 10 == replace(plan, max_ram=10).peak_host_bytes


def test_a_task_is_exact_when_all_its_ops_are():
    rules = "- {from: a, to: x, ops: [transpose]}\n- {from: b, to: y, ops: [transpose, {scale: 2}]}"
    assert [True, False] == [task.exact for task in planned(rules, {"a": "2,3", "b": "2,3"}).tasks]


@pytest.mark.parametrize(
    "rules",
    [
        "- {from: a, to: b, ops: [{flip: {axis: 0}}]}",
        "- {from: a, to: b, ops: [{flip: {axis: 1}}]}",
        '- "a -> b"\n- drop: "n"',
        '- drop: "a"\n- "n -> b"',
    ],
)
def test_every_decision_is_in_the_digest(rules):
    source = {"a": "2,2", "n": "2,2"}
    assert planned('- "a -> b"', source).digest != planned(rules, source).digest
    assert planned(rules, source).digest == planned(rules, dict(reversed(source.items()))).digest


def test_the_mode_is_in_the_digest_and_the_limit_on_memory_is_not():
    plan = planned("", {"a": "2"})
    copied = replace(plan, tasks=tuple(replace(task, mode="copy") for task in plan.tasks))
    assert plan.digest != copied.digest
    assert plan.digest == replace(plan, max_ram=1).digest
