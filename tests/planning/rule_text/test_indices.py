"""Numbers of targets as expressions of the numbers of sources."""

import pytest

from migrate.planning.rule_text.indices import by_index
from migrate.planning.rule_text.rule_drafts import RuleDraft, pattern, text_of


def always(_):
    return True


def merged(moves, fits=always):
    drafts = []
    for source, target in moves:
        a, b = tuple(source.split("/")), tuple(target.split("/"))
        drafts.append(RuleDraft((text_of(a),), (text_of(b),), (), frozenset({a}), frozenset({b})))
    return [(pattern(d.sources[0]), pattern(d.targets[0])) for d in by_index(drafts, fits)]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (lambda k: f"x/{k}", "x/{i}"),
        (lambda k: f"x/{k + 2}", "x/{i+2}"),
        (lambda k: f"x/{k - 2}" if k > 1 else "x/9", None),
        (lambda k: f"x/{5 - k}", "x/{5-i}"),
        (lambda k: f"x/{k // 2}/{k % 2}", "x/{i//2}/{i%2}"),
        (lambda _: "x/7", "x/7"),
    ],
)
def test_a_number_is_an_expression_of_the_sources(target, expected):
    found = merged([(f"l_{k}", target(k)) for k in range(6)])
    if expected is None:
        assert 1 < len(found)
    else:
        assert [("l_{i}", expected)] == found


def test_two_numbers_are_counted_through():
    assert [("s_{i}/b_{j}", "x/{i*3+j}")] == merged(
        [(f"s_{i}/b_{j}", f"x/{i * 3 + j}") for i in range(2) for j in range(3)]
    )


def test_equal_numbers_share_a_name_and_constant_ones_are_written():
    assert [("s_{i}/b_{i}/c_4", "x/{i}")] == merged([(f"s_{k}/b_{k}/c_4", f"x/{k}") for k in range(3)])


def test_what_does_not_fit_as_a_whole_is_split_at_one_number():
    moves = [(f"s_{i}/b_{j}", f"{'xy'[i]}/{j}") for i in range(2) for j in range(3)]
    assert {("s_0/b_{i}", "x/{i}"), ("s_1/b_{i}", "y/{i}")} == {*merged(moves)}


def test_a_rejected_pattern_lists_its_numbers():
    assert [("l_{i:0|2}", "x/{i}")] == merged([("l_0", "x/0"), ("l_2", "x/2")], lambda d: "|" in d.sources[0][0])
