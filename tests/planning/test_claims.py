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


def test_conditions_divide_the_layers_between_two_rules():
    lines = '- "layers/{i:int where i%2==0}/w -> local/{i//2}"\n- "layers/{2*j+1}/w -> global/{j}"'
    found = claims_of(lines, [f"layers/{i}/w" for i in range(4)])
    assert () == found.diagnostics
    assert [["0", "2"], ["1", "3"]] == [[claim.path[1] for claim in found.by_rule[rule]] for rule in (0, 1)]


def test_conditions_that_overlap_are_a_double_claim():
    lines = '- "layers/{i:int where i<3}/w -> a/{i}"\n- "layers/{i:int where i>1}/w -> b/{i}"'
    (finding,) = claims_of(lines, [f"layers/{i}/w" for i in range(4)]).diagnostics
    assert ("M202", ("layers/2/w",)) == (finding.code, finding.paths)


def test_a_condition_that_no_leaf_satisfies_is_idle():
    (finding,) = claims_of('- "layers/{i:int where i>9}/w -> a/{i}"', ["layers/0/w"]).diagnostics
    assert ("M201", "it matches 1 leaf without its condition") == (finding.code, finding.label)
