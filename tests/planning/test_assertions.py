"""Drops that assert that a leaf equals another one: what is compared, and what cannot be."""

import pytest

from migrate.errors import RuleFileError
from tests.planning.trees import codes, planned

TIED = {"model/embed/weight": "9,4", "lm_head/weight": "9,4"}


def drop_of(plan):
    (drop,) = [drop for drop in plan.dropped if drop.asserts]
    return "/".join(drop.source), drop.equal and "/".join(drop.equal), [op.name for op in drop.ops]


def test_a_leaf_is_dropped_as_equal_to_another():
    plan = planned("- drop: {from: lm_head/weight, assert: {equal: model/embed/weight}}", TIED)
    assert ([], ("lm_head/weight", "model/embed/weight", [])) == (codes(plan), drop_of(plan))
    assert 2 * 9 * 4 * 4 <= plan.bytes_read


def test_captures_and_ops_lead_to_the_other_leaf():
    source = {"a/0/w": "2,3", "a/1/w": "2,3", "b/0/k": "3,2", "b/1/k": "3,2"}
    rule = '- drop: {from: "b/{i}/k", assert: {equal: "a/{i}/w"}, ops: [{transpose: {}}]}'
    plan = planned(rule, source)
    assert [] == codes(plan)
    assert [("b/0/k", "a/0/w"), ("b/1/k", "a/1/w")] == [
        ("/".join(drop.source), "/".join(drop.equal)) for drop in plan.dropped
    ]


def test_the_digest_knows_what_is_compared():
    rule = "- drop: {from: lm_head/weight, assert: {equal: model/embed/weight}}"
    assert planned(rule, TIED).digest != planned("- drop: {from: lm_head/weight}", TIED).digest


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("- drop: {from: lm_head/weight, assert: {equal: model/embed/weigth}}", "which is not another array"),
        ("- drop: {from: lm_head/weight, assert: {equal: lm_head/weight}}", "which is not another array"),
        (
            "- drop: {from: lm_head/weight, assert: {equal: model/embed/weight}, ops: [{transpose: {}}]}",
            "`lm_head/weight` is float32[4,9] after the ops, and `model/embed/weight` is float32[9,4]",
        ),
        (
            "- drop: {from: lm_head/weight, assert: {equal: model/embed/weight}}\n- drop: model/embed/weight",
            "`lm_head/weight` is dropped as equal to `model/embed/weight`, which is dropped too",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(rules, message):
    plan = planned(rules, TIED)
    (finding,) = plan.diagnostics
    assert ("M218", 3) == (finding.code, finding.span.line)
    assert message in finding.message


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('- drop: {from: "l/{i}", assert: {equal: "m/{j}"}}', "uses `j`, which is not captured on the left"),
        ("- drop: {from: a, ops: [{transpose: {}}]}", "`ops` of a drop need `assert: {equal: …}`"),
        ("- drop: {from: a, assert: {equal: b}, ops: [{stack: 0}]}", "`stack` joins or divides arrays"),
        ("- drop: {from: a, assert: {equals: b}}", "has no field `equals`"),
        ("- drop: {from: a, assert: nonzero}", "must be `zero` or `{equal: …}`"),
    ],
)
def test_a_mistake_in_the_assertion_is_found(rule, message):
    with pytest.raises(RuleFileError) as caught:
        planned(rule, TIED)
    assert message in caught.value.diagnostics[0].message
