"""A pattern that matches nothing proposes the one that was meant."""

import pytest

from migrate.planning.near_patterns import NearPatterns
from migrate.rules.pattern import Pattern
from tests.planning.trees import planned, tree

TREE = {
    **{f"params/Dense_{i}/{name}": "3" for i in range(3) for name in ("kernel", "bias")},
    "params/old_head/out/kernel": "4",
    "params/old_head/out/bias": "4",
    "model/odd{name}/w": "5",
    "step": "int32:",
    "hk//weights": "6",
}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("params/old_heads/**", "params/old_head/**"),
        ("param/old_head/**", "params/old_head/**"),
        ("param/old_heads/ot/kernel", "params/old_head/out/kernel"),
        ("params/old_heads/*/{n}", "params/old_head/*/{n}"),
        ("params/dense_{i}/**", "params/Dense_{i}/**"),
        ("params/Dense_{i:int}/kernels", "params/Dense_{i:int}/kernel"),
        ("old_head/**", "params/old_head/**"),
        ("Dense_{i}/kernel", "params/Dense_{i}/kernel"),
        ("state/params/old_head/**", "params/old_head/**"),
        ("model/odd_name/{w}", r"model/odd\{name\}/{w}"),
        ("stepp", "step"),
        ("hk//weight", "hk//weights"),
        ("kh//weights", "hk//weights"),
        ("params/Dense_{i:int where i//2==0}/kernels", "params/Dense_{i:int where i//2==0}/kernel"),
    ],
)
def test_the_subtree_of_the_nearest_name_is_proposed(written, meant):
    assert f"did you mean `{meant}`?" == NearPatterns(tree(TREE)).did_you_mean(Pattern.parse(written))


@pytest.mark.parametrize("written", ["zzzzzz/**", "{a}/{b}/{c}/{d}/{e}", "**/qqqqqqqq"])
def test_nothing_similar_has_no_proposal(written):
    assert None is NearPatterns(tree(TREE)).did_you_mean(Pattern.parse(written))


@pytest.mark.parametrize("rule", ['- drop: "PATTERN"', '- "PATTERN -> x/**"'])
def test_the_proposal_pasted_removes_the_error(rule):
    wrong = rule.replace("PATTERN", "params/old_heads/**")
    (finding,) = (d for d in planned(wrong, TREE).diagnostics if d.code == "M201")
    right = rule.replace("PATTERN", finding.label.split("`")[1])
    assert [] == list(planned(right, TREE).diagnostics)


def test_a_create_rule_proposes_names_of_the_template():
    rule = '- create: {to: "params/old_heads/**", init: zeros}'
    (finding,) = (d for d in planned(rule, {"a": "2"}, TREE).diagnostics if d.code == "M201")
    assert "did you mean `params/old_head/**`?" == finding.label


def test_a_condition_that_excludes_every_leaf_is_named():
    near = NearPatterns(tree(TREE))
    found = near.did_you_mean(Pattern.parse("params/Dense_{i:int where i//2==7}/**"))
    assert "it matches 6 leaves without its condition" == found
