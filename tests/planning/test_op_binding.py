"""Sizes that the template determines, and shapes that it would mix up."""

import pytest

from migrate.planning.op_binding import shape_after
from migrate.planning.rule_text.ops import op_text
from migrate.rules.loader import parse_rules
from tests.planning.invert.cases import back_and_forth, inverted, rules_of, values_for
from tests.planning.optimizer_trees import state
from tests.planning.plan_file.plans import again
from tests.planning.test_helps import ADAM, new
from tests.planning.trees import codes, planned

SPLIT = '{rearrange: "(n h) d -> d n h"}'
HEADS = f'- {{from: "{{x}}/w", to: "{{x}}/w", ops: [{SPLIT}]}}'


def ops(plan):
    """The ops of each target as text."""
    return {"/".join(task.targets[0]): [op_text(op) for step in task.steps for op in step.ops] for task in plan.tasks}


def test_the_sizes_of_a_split_axis_are_those_of_the_templates_leaf():
    plan = planned(HEADS, {"q/w": "96,48", "k/w": "32,48"}, {"q/w": "48,6,16", "k/w": "48,2,16"})

    assert plan.applicable
    assert {
        "q/w": ['rearrange: {pattern: "(n h) d -> d n h", sizes: {n: 6, h: 16}}'],
        "k/w": ['rearrange: {pattern: "(n h) d -> d n h", sizes: {n: 2, h: 16}}'],
    } == ops(plan)


@pytest.mark.parametrize(
    ("sources", "later", "source", "target"),
    [
        ('"l_{i}"', "{stack: {axis: 1, over: i}}", {"l_0": "96,48", "l_1": "96,48"}, "48,2,6,16"),
        ("[q, k, v]", "{concat: {axis: 1}}", {"q": "96,48", "k": "32,48", "v": "32,48"}, "48,10,16"),
        ("q", "{transpose: [2, 0, 1]}, {expand_dims: 0}", {"q": "96,48"}, "1,16,48,6"),
        ("q", '{rearrange: "d n h -> n d h"}, {cast: template}', {"q": "96,48"}, "bfloat16:6,48,16"),
        ("q", "{pad: [[0, 0], [0, 2], [0, 0]]}", {"q": "96,48"}, "48,8,16"),
        ("q", "{slice: {axis: 1, stop: 4}}", {"q": "96,48"}, "48,4,16"),
    ],
)
def test_later_ops_do_not_hide_the_sizes(sources, later, source, target):
    plan = planned(f"- {{from: {sources}, to: x, ops: [{SPLIT}, {later}]}}", source, {"x": target})

    assert [] == codes(plan)


def test_a_stated_size_is_used_and_the_others_follow():
    rule = '- {from: q, to: x, ops: [{rearrange: {pattern: "(a b c) d -> (a c) d b", sizes: {b: 3}}}]}'

    assert ["M323"] == codes(planned(rule, {"q": "24,5"}, {"x": "8,5,3"}))
    assert planned(rule.replace("b: 3", "b: 3, a: 2"), {"q": "24,5"}, {"x": "8,5,3"}).applicable


@pytest.mark.parametrize(
    ("pattern", "source", "target", "message", "advice"),
    [
        (
            "(n h) d -> (h n) d",
            "6,4",
            "6,4",
            "`rearrange` does not fit float32[6,4]: the template's float32[6,4] leaves the sizes of `n` and `h` in "
            "`(n h) d -> (h n) d` open",
            'write `rearrange: {pattern: "(n h) d -> (h n) d", sizes: {n: 2}}` with the size of `n`, one of 2, 3',
        ),
        (
            "(n h) d -> d n h",
            "100,48",
            "48,6,16",
            "`rearrange` does not fit float32[100,48]: `(n h) d -> d n h` does not lead to the template's "
            "float32[48,6,16]: axis 0 has size 100, and `n h` would be 6 × 16 = 96",
            "write a pattern whose sides name the axes of both shapes",
        ),
        (
            "(n h) d -> d n h",
            "96,48",
            "48,96",
            "`rearrange` does not fit float32[96,48]: `(n h) d -> d n h` does not lead to the template's "
            "float32[48,96]: it makes 3 axes, not 2",
            "write a pattern whose sides name the axes of both shapes",
        ),
    ],
)
def test_sizes_that_the_template_leaves_open_or_contradicts_are_an_error(pattern, source, target, message, advice):
    (found,) = planned(
        f'- {{from: q, to: x, ops: [{{rearrange: "{pattern}"}}]}}', {"q": source}, {"x": target}
    ).diagnostics

    assert ("M323", message, advice) == (found.code, found.message, found.help)


def test_the_size_that_the_help_states_is_accepted_when_pasted():
    rule = "- {{from: q, to: x, ops: [{{{}}}]}}"
    (found,) = planned(rule.format('rearrange: "(n h) d -> (h n) d"'), {"q": "6,4"}, {"x": "6,4"}).diagnostics

    assert planned(rule.format(found.help.split("`")[1]), {"q": "6,4"}, {"x": "6,4"}).applicable


def test_without_a_template_the_rule_must_state_the_sizes():
    (found,) = planned(HEADS, {"q/w": "96,48"}).diagnostics
    assert ("M303", True) == (found.code, "`sizes` must give `n` or `h`" in found.message)


def test_moments_have_the_sizes_of_their_params():
    rule = f"- {{from: params/w, to: model/w, ops: [{SPLIT}]}}"
    plan = planned(rule, state(ADAM, {"w": (96, 48)}), new(ADAM, {"w": (48, 6, 16)}))

    assert plan.applicable
    reshaped = [text for texts in ops(plan).values() for text in texts]
    assert ['rearrange: {pattern: "(n h) d -> d n h", sizes: {n: 6, h: 16}}'] * 3 == reshaped


def test_a_plan_file_and_the_inverse_need_no_template():
    source, target = {"q/w": "6,4", "k/w": "2,4"}, {"q/w": "4,3,2", "k/w": "4,1,2"}
    plan = planned(HEADS, source, target)

    assert [task.steps for task in plan.tasks] == [task.steps for task in again(plan).tasks]
    assert ['- {from: "{x}/w", to: "{x}/w", ops: [{rearrange: {pattern: "d n h -> (n h) d"}}]}'] == rules_of(
        inverted(HEADS, source, target)
    )
    values = values_for(plan.source.tree)
    _, back = back_and_forth(plan, values)
    assert all(values[path].tobytes() == back[path].tobytes() for path in values)


def test_the_inverse_of_a_merge_states_the_sizes_that_arrays_share():
    rule = '- {from: "{x}/w", to: "{x}/w", ops: [{rearrange: "d n h -> (n h) d"}]}'

    assert [
        '- {from: "{x}/w", to: "{x}/w", ops: [{rearrange: {pattern: "(n h) d -> d n h", sizes: {h: 2}}}]}'
    ] == rules_of(inverted(rule, {"q/w": "4,3,2", "k/w": "4,1,2"}))


@pytest.mark.parametrize(
    ("source", "target"), [("48,96", "6,48,16"), ("6,48,16", "48,96"), ("6,4", "3,8"), ("5,6,4", "5,3,8")]
)
def test_a_template_shape_that_would_mix_axes_is_refused(source, target):
    plan = planned("- {from: q, to: x, ops: [{reshape: template}]}", {"q": source}, {"x": target})

    assert ["M324"] == codes(plan)


@pytest.mark.parametrize(
    ("source", "target"), [("96,48", "6,16,48"), ("6,16,48", "96,48"), ("6,1,4", "1,2,3,4"), ("2,3,6", "6,2,3")]
)
def test_a_template_shape_of_split_and_merged_axes_is_taken(source, target):
    assert planned("- {from: q, to: x, ops: [{reshape: template}]}", {"q": source}, {"x": target}).applicable


def test_the_help_for_mixed_axes_names_the_pattern_and_the_pattern_gives_the_shape():
    rule = "- {{from: q, to: x, ops: [transpose, {{{}}}]}}"
    (found,) = planned(rule.format("reshape: template"), {"q": "96,48"}, {"x": "6,48,16"}).diagnostics

    assert (
        "`reshape` does not fit float32[48,96]: the template's float32[6,48,16] neither splits nor merges whole axes "
        "of it, so that they would mix"
    ) == found.message
    assert (
        'write `rearrange: "a (b c) -> b a c"`; `reshape: [6, 48, 16]` takes the elements in their order all the same'
    ) == found.help
    for edit in found.help.split("`")[1::2]:
        assert planned(rule.format(edit), {"q": "96,48"}, {"x": "6,48,16"}).applicable


def test_nothing_is_known_before_an_op_that_hides_its_input():
    (rule,) = parse_rules("migrate: 1\nrules:\n- {from: a, to: b, ops: [transpose, {reshape: [6]}]}", "r").rules

    assert ((6,), None, (3, 2)) == (
        shape_after((), (6,)),
        shape_after(rule.ops, (6,)),
        shape_after(rule.ops[:1], (2, 3)),
    )
