"""From the claims of one rule to its tasks: groups, order, targets, and what cannot be carried out."""

import pytest

from migrate.planning.claims import claim_leaves
from migrate.planning.gather import _groups, _TaskBuilder, gather
from migrate.planning.template_captures import TemplateCaptures
from migrate.rules.loader import parse_rules
from tests.planning.trees import tree


def gathered(rule, source, template=None, **more):
    (parsed,) = parse_rules(f"migrate: 1\nrules:\n{rule}", "rules.yaml").rules
    target = tree(template) if template else None
    return gather(parsed, claim_leaves([parsed], tree(source)).by_rule[0], target, **more)


def tasks_of(found):
    return [(["/".join(p) for p in task.sources], ["/".join(p) for p in task.targets]) for task in found.tasks]


def results(found):
    return [[str(aval) for aval in task.out_avals] for task in found.tasks]


def test_arrays_whose_right_hand_sides_agree_are_one_task():
    rule = '- {from: "l_{i}/{n}", to: "all/{n}", ops: [{stack: {axis: 0, over: i}}]}'
    found = gathered(rule, {f"l_{i}/{n}": "2" for i in range(2) for n in "ab"})
    assert [(["l_0/a", "l_1/a"], ["all/a"]), (["l_0/b", "l_1/b"], ["all/b"])] == tasks_of(found)


def test_place_moves_every_target():
    found = gathered('- "a -> b"', {"a": "2"}, place=lambda path: ("mu", *path))
    assert [(["a"], ["mu/b"])] == tasks_of(found)


def test_a_group_that_fails_leaves_the_others_alone():
    rule = '- {from: "{n}", to: "x/{n}", ops: [{transpose: [1, 0]}]}'
    found = gathered(rule, {"a": "2,3", "b": "2"})
    assert ([(["a"], ["x/a"])], (("b",),), ["M303"]) == (
        tasks_of(found),
        found.failed,
        [finding.code for finding in found.diagnostics],
    )


def test_a_string_goes_through_no_op():
    (finding,) = gathered("- {from: a, to: b, ops: [flip: {axis: 0}]}", {"a": "string"}).diagnostics
    assert "a string has no shape" in finding.message


def test_an_index_that_is_no_number_cannot_be_computed():
    found = gathered('- "l_{i} -> x/{i+1}"', {"l_a": "2"})
    assert (["M209"], (("l_a",),)) == ([finding.code for finding in found.diagnostics], found.failed)


@pytest.mark.parametrize(("numbers", "complete"), [((0, 1, 2), True), ((1, 2, 3), True), ((2, 3), False)])
def test_a_stacked_index_starts_at_0_or_1(numbers, complete):
    rule = '- {from: "l_{i}", to: all, ops: [{stack: {axis: 0, over: i}}]}'
    assert ([] if complete else ["M208"]) == [
        finding.code for finding in gathered(rule, {f"l_{i}": "2" for i in numbers}).diagnostics
    ]


def test_template_binds_an_op_for_each_part_of_a_split():
    rule = '- {from: "{n}", to: ["x/{n}", "y/{n}"], ops: [{split: {axis: 0}}, {reshape: template}]}'
    assert [["float32[2,2]", "float32[4,1]"]] == results(gathered(rule, {"a": "8"}, {"x/a": "2,2", "y/a": "4,1"}))


@pytest.mark.parametrize(
    ("ops", "wanted"),
    [
        ("[{cast: template}]", {"x": "uint32:6", "y": "int8:6"}),
        ("[{reshape: template}]", {"x": "int32:2,3", "y": "int32:6,1"}),
        ("[{reshape: template}, {cast: template}]", {"x": "uint32:2,3", "y": "int8:6,1"}),
        ("[{cast: template}, {reshape: [3, 2]}, transpose]", {"x": "uint32:2,3", "y": "int8:2,3"}),
        ("[{call: {function: 'm:f', shape: template, dtype: template}}]", {"x": "uint32:2", "y": "int8:7"}),
    ],
)
def test_template_binds_an_op_for_each_target_of_one_source(ops, wanted):
    found = gathered(f"- {{from: a, to: [x, y], ops: {ops}}}", {"a": "int32:6"}, wanted)
    assert ((), [[str(tree(wanted).leaves[(name,)].aval) for name in "xy"]]) == (found.diagnostics, results(found))


def test_a_joined_array_goes_to_targets_of_two_dtypes():
    rule = "- {from: [a, b], to: [x, y], ops: [{cast: template}, {concat: {axis: 0}}]}"
    found = gathered(rule, {"a": "2", "b": "3"}, {"x": "float64:5", "y": "5"})
    assert ((), [["float64[5]", "float32[5]"]]) == (found.diagnostics, results(found))


def test_targets_that_bind_an_op_alike_stay_one_array():
    (task,) = gathered(
        "- {from: a, to: [x, y], ops: [{cast: template}]}", {"a": "2"}, {"x": "int8:2", "y": "int8:2"}
    ).tasks
    assert (0, 0) == task.outputs


def test_a_cast_before_a_split_is_one_cast():
    rule = "- {from: a, to: [x, y], ops: [{cast: template}, {split: {axis: 0}}]}"
    assert [["int8[2]", "int8[2]"]] == results(gathered(rule, {"a": "4"}, {"x": "int8:2", "y": "2"}))


def test_unstack_takes_its_count_from_the_template_for_each_value_of_the_other_captures():
    rule = '- {from: "s_{j}", to: "g/{j}/{i}", ops: [{unstack: {axis: 0, over: i}}]}'
    template = {f"g/{j}/{i}": "4" for j in range(2) for i in range(3 - j)}
    found = gathered(rule, {"s_0": "3,4", "s_1": "2,4"}, template)
    assert ((), [3, 2]) == (found.diagnostics, [len(task.targets) for task in found.tasks])


def test_an_index_that_is_stacked_away_does_not_keep_later_arrays_apart():
    rule = '- {from: "l_{i}/{n}", to: all, ops: [{stack: {axis: 0, over: i}}, {concat: {axis: 1, over: n}}]}'
    found = gathered(rule, {"l_0/a": "3", "l_1/a": "3", "l_1/b": "3", "l_2/b": "3"})
    assert ((), [(2, 6)]) == (found.diagnostics, [task.out_avals[0].shape for task in found.tasks])


SCAN = '- {from: "l_{i}/k", to: "s_{i%3}/k", ops: [{stack: {axis: 1, over: i}}]}'
"""Blocks of three layers, each layer stacked over the blocks."""


def test_a_stack_groups_by_the_remainder_on_the_right():
    found = gathered(SCAN, {f"l_{i}/k": "2" for i in range(6)})
    assert ((), [(2, 2)] * 3) == (found.diagnostics, [task.out_avals[0].shape for task in found.tasks])
    assert ([[f"l_{j}/k", f"l_{j + 3}/k"] for j in range(3)], [["s_0/k"], ["s_1/k"], ["s_2/k"]]) == (
        [sources for sources, _ in tasks_of(found)],
        [targets for _, targets in tasks_of(found)],
    )


def test_a_stack_groups_by_the_quotient_on_the_right():
    rule = '- {from: "l_{i}/k", to: "s_{i//2}/k", ops: [{stack: {axis: 0, over: i}}]}'
    found = gathered(rule, {f"l_{i}/k": "2" for i in range(4)})
    assert [(["l_0/k", "l_1/k"], ["s_0/k"]), (["l_2/k", "l_3/k"], ["s_1/k"])] == tasks_of(found)


def test_a_layer_that_a_block_lacks_is_a_gap():
    found = gathered(SCAN, {f"l_{i}/k": "2" for i in (0, 1, 2, 3, 5, 6, 7, 8)})
    assert [("M208", "`{i}` has a gap: 4 of 0..7 is not in the source")] == [
        (finding.code, finding.message) for finding in found.diagnostics
    ]
    assert [["s_0/k"], ["s_2/k"]] == [targets for _, targets in tasks_of(found)]


def test_an_unstack_spreads_by_arithmetic_on_the_right():
    rule = '- {from: "s_{j}/k", to: "l_{i*3+j}/k", ops: [{unstack: {axis: 1, over: i}}]}'
    found = gathered(rule, {f"s_{j}/k": "4,2" for j in range(3)}, {f"l_{i}/k": "4" for i in range(7)})
    assert () == found.diagnostics
    assert [([f"s_{j}/k"], [f"l_{j}/k", f"l_{j + 3}/k"]) for j in range(3)] == tasks_of(found)


@pytest.mark.parametrize("rule", ['- "{n} -> x/{n}"', '- "** -> y/**"', '- {from: "{n}", to: ["{n}", "tied/{n}"]}'])
def test_a_leaf_without_ops_becomes_the_task_that_its_ops_would_make(rule):
    (parsed,) = parse_rules(f"migrate: 1\nrules:\n{rule}", "rules.yaml").rules
    claims = claim_leaves([parsed], tree({"a": "2,3", "b": "none", "c_1": "string"})).by_rule[0]
    made = [
        _TaskBuilder(parsed, group, TemplateCaptures(parsed.targets, None), lambda path: ("mu", *path), filled).task()
        for filled, group in _groups(parsed, claims)
    ]

    assert made == list(gather(parsed, claims, None, lambda path: ("mu", *path)).tasks)
    assert len(claims) == len(made)


def test_two_equal_targets_of_a_leaf_without_ops_are_refused():
    (finding,) = gathered('- {from: "a", to: ["b", "b"]}', {"a": "2"}).diagnostics
    assert "2 arrays end at `b`" in finding.message
