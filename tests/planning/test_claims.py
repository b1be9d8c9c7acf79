"""Claims: every rule with every leaf it matches, in list order, and what strict matching refuses."""

from migrate.planning.claims import claim_leaves, dropped_extras
from migrate.rules.loader import parse_rules
from tests.planning.trees import tree


def rules_of(lines):
    return parse_rules(f"migrate: 1\nrules:\n{lines}", "rules.yaml").rules


def claims_of(lines, leaves, extras=()):
    return claim_leaves(rules_of(lines), tree(dict.fromkeys(leaves, "2")), extras)


def test_claims_are_in_the_order_of_the_patterns_and_then_of_the_numbers():
    lines = '- {from: ["k_{i}", "q_{i}"], to: all, ops: [{concat: {axis: 0}}]}'
    found = claims_of(lines, ["q_10", "q_2", "k_10", "k_2"])
    assert ["k_2", "k_10", "q_2", "q_10"] == [claim.path[0] for claim in found.by_rule[0]]
    assert [0, 0, 1, 1] == [claim.origin for claim in found.by_rule[0]]
    assert ["2", "10", "2", "10"] == [claim.bindings["i"] for claim in found.by_rule[0]]


def test_a_create_rule_claims_nothing():
    found = claims_of('- "a -> b"\n- create: {to: c, init: zeros}', ["a"])
    assert ({0}, {("a",)}) == ({*found.by_rule}, found.claimed)


def test_rules_that_claim_the_same_leaves_are_one_finding_with_a_place():
    found = claims_of('- "a/* -> b/*"\n- "a/{n} -> c/{n}"', ["a/x", "a/y"])
    (finding,) = found.diagnostics
    assert ("M202", ("a/x", "a/y"), 4) == (finding.code, finding.paths, finding.span.line)
    assert "`a/x` and 1 more is claimed by the rule at rules.yaml:3:4 as well" == finding.message


def test_one_rule_whose_patterns_overlap_is_refused():
    (finding,) = claims_of('- {from: ["a", "*"], to: ["b"], ops: [{concat: {axis: 0}}]}', ["a"]).diagnostics
    assert "`a` is claimed by this rule twice" == finding.message


def test_each_idle_pattern_of_a_rule_is_a_finding():
    found = claims_of('- {from: ["a", "typo", "other"], to: b, ops: [{concat: {axis: 0}}]}', ["a"])
    assert ["`typo` matches nothing in the source", "`other` matches nothing in the source"] == [
        finding.message for finding in found.diagnostics
    ]


def test_a_drop_may_name_an_item_that_is_no_pytree_and_a_move_may_not():
    assert () == claims_of('- drop: "metrics/**"', ["a"], ["metrics"]).diagnostics
    assert ["M201"] == [finding.code for finding in claims_of('- "metrics -> m"', ["a"], ["metrics"]).diagnostics]
    assert {"metrics"} == dropped_extras(rules_of('- drop: "metrics/**"\n- "notes -> n"'), ["metrics", "notes"])
