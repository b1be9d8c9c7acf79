import pytest

from migrate.planning.invert.patterns import reverse
from migrate.rules.loader import parse_rules
from migrate.tree import parse_path


def reversed_patterns(rule, *sources):
    (move,) = parse_rules(f"migrate: 1\nrules:\n- {rule}", "rules.yaml").rules
    found = reverse(move, [parse_path(path) for path in sources])
    return found and (*found.sources, *found.targets)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('"a/{i}/** -> b/{i}/**"', ("b/{i}/**", "a/{i}/**")),
        ('"a_{i:int} -> b/{i}"', ("b/{i:int}", "a_{i}")),
        ('"{at:**}/w -> b/{at}"', ("b/{at:**}", "{at}/w")),
        ('"a/{i} -> b/{i+2}"', ("b/{i}", "a/{i-2}")),
        ('"a/{i} -> b/{7-i}"', ("b/{i}", "a/{7-i}")),
        ('"a/{x}/{y} -> b/{y}/{x}_{x}"', ("b/{y}/{x}_{x}", "a/{x}/{y}")),
        ("{from: a, to: [b, c]}", ("b", "a")),
    ],
)
def test_patterns_are_reversed(rule, expected):
    assert expected == reversed_patterns(rule)


@pytest.mark.parametrize(
    "rule",
    [
        '"a/{i} -> b/{i//2}"',
        '"a/{i} -> b/{i*2}"',
        '"a/{i}/{n} -> b/{i}"',
        '"a/{i} -> b/{i}/{i+1}"',
        '{from: {regex: "a/(?P<i>.)"}, to: "b/{i}"}',
        '{from: a, to: "b/{9-i}", ops: [{unstack: {axis: 0, over: i}}]}',
    ],
)
def test_patterns_that_do_not_determine_the_left_hand_side_are_not(rule):
    assert reversed_patterns(rule) is None


def test_a_reduced_capture_counts_from_where_it_counted():
    rule = '{from: "a_{i}", to: b, ops: [{stack: {axis: 0, over: i}}]}'
    assert ("b", "a_{i}") == reversed_patterns(rule, "a_0", "a_1")
    assert ("b", "a_{i+1}") == reversed_patterns(rule, "a_1", "a_2")
    assert reversed_patterns(rule, "a_x", "a_y") is None
