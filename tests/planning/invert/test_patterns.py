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
        ('"a/{i} -> b/{i}/{i+1}"', ("b/{i}/{i+1}", "a/{i}")),
        ('"a/{i:int where i%2==0}/** -> l/{i//2}/local/**"', ("l/{i:int}/local/**", "a/{2*i}/**")),
        ('"a/{i:int where i%2==1} -> l/{i//2}/g"', ("l/{i:int}/g", "a/{2*i+1}")),
        ('"l/{j:int} -> a/{2*j}"', ("a/{j:int where j%2==0}", "l/{j//2}")),
        ('"l/{j:int} -> a/{2*j+1}"', ("a/{j:int where j%2==1}", "l/{j//2}")),
        ('"l/{j:int} -> a/{3*j+7}"', ("a/{j:int where j%3==1 and j>=7}", "l/{(j-7)//3}")),
        ('"l/{j:int where j>0} -> a/{2*j}"', ("a/{j:int where j%2==0 and ((j//2)>0)}", "l/{j//2}")),
        ('"a/{2*j}/x -> b/{j}/x"', ("b/{j:int}/x", "a/{2*j}/x")),
        ('"a/{2*j+1}/x -> b/{j+3}/x"', ("b/{j}/x", "a/{2*(j-3)+1}/x")),
        ('"a/{i:int where i<6} -> b/{i}"', ("b/{i:int where i<6}", "a/{i}")),
        ('"a/{i:int where i>=6} -> b/{i-6}"', ("b/{i}", "a/{i+6}")),
        ('"a/{i:int where i>=6} -> b/{i+1}"', ("b/{i:int where (i-1)>=6}", "a/{i-1}")),
        ('"a/{i:int} -> b/{i//6}/l_{i%6}"', ("b/{i:int}/l_{j:int where j<6}", "a/{6*i+j}")),
        ('"a/{i:int where i%6<5} -> b/{i//6}/l_{i%6}"', ("b/{i:int}/l_{j:int where j<5}", "a/{6*i+j}")),
        ('"a/{i:int where i%2==0 and i<8} -> b/{i//2}"', ("b/{i:int where (2*i)%2==0 and (2*i)<8}", "a/{2*i}")),
    ],
)
def test_patterns_are_reversed(rule, expected):
    assert expected == reversed_patterns(rule)


@pytest.mark.parametrize(
    "rule",
    [
        '"a/{i} -> b/{i//2}"',
        '"a/{i}/{n} -> b/{i}"',
        '"a/{i}/{j} -> b/{i*j}"',
        '"a/{i:int} -> b/{i*i}"',
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


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('{from: "a/{i:int where i%2==1}", to: b, ops: [{stack: {over: i}}]}', ("b", "a/{2*i+1}")),
        ('{from: "a/{2*i+1}", to: b, ops: [{stack: {over: i}}]}', ("b", "a/{2*i+1}")),
        ('{from: "a/{i:int}", to: "b/{i%6}", ops: [{stack: {over: i}}]}', ("b/{j:int where j<6}", "a/{j+6*i}")),
        ('{from: "a/{i:int}", to: "b/{i//2}", ops: [{stack: {over: i}}]}', ("b/{j:int}", "a/{2*j+i}")),
    ],
)
def test_a_reduced_capture_has_the_numbers_that_its_pattern_admits(rule, expected):
    assert expected == reversed_patterns(rule)
