"""A source that the template's leaves make several different arrays of is restored from one of them."""

import pytest

from tests.planning.invert.cases import back_and_forth, left, lost, rules_of, same_bits, values_for
from tests.planning.trees import planned


@pytest.mark.parametrize(
    ("rules", "source", "wanted", "expected", "tied"),
    [
        (
            "- {from: n, to: [step, count], ops: [{cast: template}]}",
            {"n": "int32:"},
            {"step": "uint32:", "count": "int64:"},
            ['- {from: "step", to: "n", ops: [{cast: {to: int32}}]}', '- drop: "count"'],
            {"count": "tied"},
        ),
        (
            "- {from: n, to: [half, whole], ops: [{cast: {to: template, lossy: true}}]}",
            {"n": "2"},
            {"half": "bfloat16:2", "whole": "2"},
            ['- {from: "whole", to: "n", ops: [{cast: {to: float32, lossy: true}}]}', '- drop: "half"'],
            {"half": "tied"},
        ),
        (
            "- {from: [a, b], to: [x, y], ops: [{cast: template}, {concat: {axis: 0}}]}",
            {"a": "2", "b": "3"},
            {"x": "float64:5", "y": "5"},
            [
                '- {from: "x", to: ["a", "b"], ops: [{split: {axis: 0, sizes: [2, 3]}}, {cast: {to: float32}}]}',
                '- drop: "y"',
            ],
            {"y": "tied"},
        ),
    ],
)
def test_a_source_is_restored_from_one_of_its_targets(rules, source, wanted, expected, tied):
    plan = planned(rules, source, wanted)
    assert plan.applicable, [d.message for d in plan.diagnostics]
    values = {path: abs(value) for path, value in values_for(plan.source.tree).items()}
    inversion, back = back_and_forth(plan, values)
    assert (tied, {}) == (left(inversion), lost(inversion))
    same_bits(values, back)
    assert expected == rules_of(inversion)
