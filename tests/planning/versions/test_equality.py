"""Drops that assert equality after the first step of a chain: one plan asserts what the steps would."""

import numpy as np
import pytest

from migrate.codes import UnfusableSteps
from migrate.planning.versions.squash import squash
from tests.planning.invert.cases import values_for
from tests.planning.trees import checkpoint
from tests.planning.versions.chains import both, files, step_by_step

EMBED = {"embed": "3,2", "head": "3,2"}
TURNED = {"embed": "3,2", "head": "2,3"}
LAYERS = {f"{name}/{i}": "3,2" for name in EMBED for i in range(2)}


def asserted(plan, values):
    """Whether the leaves that a plan drops as equal to others are equal."""
    found = [drop for drop in plan.dropped if drop.equal is not None]
    assert found
    for drop in found:
        array = values[drop.source]
        for op in drop.ops:
            (array,) = op.apply(array)
        other = np.asarray(values[drop.equal])
        if (array.shape, array.tobytes()) != (other.shape, other.tobytes()):
            return False
    return True


CHAINS = {
    "renamed": (EMBED, '- "embed -> e"\n- "head -> h"', "- {drop: {from: h, assert: {equal: e}}}"),
    "two steps before": (EMBED, '- "embed -> e"', '- "e -> f"', "- {drop: {from: head, assert: {equal: f}}}"),
    "the dropped leaf turned": (
        TURNED,
        "- {from: head, to: h, ops: [transpose]}",
        "- {drop: {from: h, assert: {equal: embed}}}",
    ),
    "the other leaf turned": (
        TURNED,
        "- {from: embed, to: e, ops: [transpose]}",
        "- {drop: {from: head, assert: {equal: e}}}",
    ),
    "both turned, and by the rule too": (
        EMBED,
        "- {from: embed, to: e, ops: [transpose]}\n- {from: head, to: h, ops: [{flip: 0}]}",
        "- {drop: {from: h, assert: {equal: e}, ops: [{flip: 0}, transpose]}}",
    ),
    "both stacked": (
        LAYERS,
        '- {from: "embed/{i}", to: e, ops: [{stack: {axis: 0, over: i}}]}\n'
        '- {from: "head/{i}", to: h, ops: [{stack: {axis: 0, over: i}}]}',
        "- {drop: {from: h, assert: {equal: e}}}",
    ),
}


def equalized(values):
    """The values with heads that are the embeddings, turned where their shapes are."""
    found = dict(values)
    for path, head in values.items():
        embed = values["embed", *path[1:]]
        found[path] = embed if embed.shape == head.shape else embed.T.copy()
    return found


@pytest.mark.parametrize("name", CHAINS)
def test_one_plan_asserts_what_the_steps_would(name):
    source, *rules = CHAINS[name]
    plans, fused = both(source, *rules)
    assert fused.applicable, [d.message for d in fused.diagnostics]
    values = values_for(plans[0].source.tree)
    for equal, those in ((False, values), (True, equalized(values))):
        assert equal is asserted(plans[-1], step_by_step(plans[:-1], those))
        assert equal is asserted(fused, those)


def test_leaves_that_are_always_equal_need_no_assertion():
    _, fused = both({"a": "2,3"}, "- {from: a, to: [b, c]}", "- {drop: {from: c, assert: {equal: b}}}")
    assert fused.applicable
    assert [] == [drop for drop in fused.dropped if drop.asserts]


def test_the_assertion_of_the_first_step_is_its_own():
    plans, fused = both(EMBED, "- {drop: {from: head, assert: {equal: embed}}}", '- "embed -> e"')
    assert [*plans[0].dropped] == [*fused.dropped]


def test_a_squashed_file_asserts_it_too():
    rules = CHAINS["the other leaf turned"][1:]
    text = squash(checkpoint(TURNED), files(*rules)).text
    assert '- drop: {from: "head", assert: {equal: "embed"}, ops: [{transpose: {}}]}' in text


@pytest.mark.parametrize(
    ("source", "there"),
    [
        ({"a": "4", "b": "2"}, "- {from: a, to: [d, c], ops: [split]}"),
        ({"a": "4", "b": "4"}, "- {from: a, to: c, ops: [{scale: 2}]}"),
        ({"a": "4", "b": "4"}, "- create: {to: c, init: zeros}"),
    ],
    ids=["a part", "computed", "created"],
)
def test_a_leaf_that_cannot_be_compared_in_the_source_is_named(source, there):
    target = ({**source, "c": source["b"]},) if "create" in there else ()
    _, fused = both(source, (there, *target) if target else there, "- {drop: {from: b, assert: {equal: c}}}")
    assert [UnfusableSteps.number] == [d.code for d in fused.diagnostics if d.is_error]
    assert "`b` is dropped as equal to `c`, and the two exist only between two steps" in fused.diagnostics[-1].message


def test_a_leaf_is_asserted_once():
    rules = (
        "- {from: b, to: [c, d]}",
        "- {drop: {from: c, assert: {equal: a}}}\n- {drop: {from: d, assert: zero}}",
    )
    _, fused = both({"a": "4", "b": "4"}, *rules)
    assert [UnfusableSteps.number] == [d.code for d in fused.diagnostics if d.is_error]
