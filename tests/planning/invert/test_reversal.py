"""Rule files in reverse, from the new tree alone. Covers `origin` and `undone` too."""

from dataclasses import replace

import optax
import pytest

from migrate.errors import PlanError
from migrate.planning.invert.reversal import reversal
from migrate.planning.planner import make_plan
from migrate.rules.loader import load_rules, parse_rules
from tests.planning.invert.cases import carried_out, rules_of, same_bits, values_for
from tests.planning.invert.test_bundled import CASES
from tests.planning.optimizer_trees import state
from tests.planning.trees import checkpoint, codes, planned, tree

LAYERS = {f"model/layers/{i}/{name}": shape for i in range(4) for name, shape in {"q": "12,8", "norm": "8"}.items()}
KERNELS = {"a/kernel": (4, 6), "b/kernel": (6, 2), "b/bias": (2,)}


def turned(rules, source, target=None, old=None):
    """The plan of rules, and what leads back from its target."""
    plan = planned(rules, source, target)
    assert plan.applicable, [d.message for d in plan.diagnostics]
    new = replace(checkpoint({}), items={"": plan.target})
    text = f"migrate: 1\nrules:\n{rules}"
    return plan, reversal(parse_rules(text, "rules.yaml"), new, tree(old) if old else None), new


def leads_back(rules, source, target=None, old=None):
    """The rules that lead back, once it was seen that they restore every bit from the new tree alone."""
    plan, found, new = turned(rules, source, target, old)
    back = make_plan(new, found.rules, None, link=False)
    assert back.applicable, [d.message for d in back.diagnostics]
    values = values_for(plan.source.tree)
    same_bits(values, carried_out(back, carried_out(plan, values)))
    return rules_of(found.inversion), [(one.code, one.severity) for one in found.findings]


def refused(rules, source, target=None, old=None):
    with pytest.raises(PlanError) as caught:
        turned(rules, source, target, old)
    return caught.value.diagnostics


@pytest.mark.parametrize(
    ("rules", "source"),
    [
        ('- "model/layers/{i:int}/** -> layers/{i}/**"', LAYERS),
        ('- {from: "model/layers/{i:int}/q", to: "layers/{i}/q", ops: [{rearrange: "(n h) d -> d n h"}]}', None),
        ('- {from: "model/layers/{i:int}/q", to: "layers/{i}/q", ops: [{transpose: [1, 0]}]}', LAYERS),
        ('- {from: "model/layers/{i:int}/q", to: q, ops: [{transpose: {}}, {stack: {axis: 1, over: i}}]}', LAYERS),
        ('- {from: "model/layers/{i:int}/q", to: "q/{i%2}", ops: [{stack: {axis: -1, over: i}}]}', LAYERS),
        ('- {from: ["a", "b"], to: c, ops: [{concat: {axis: 0, sizes: [2, 4]}}]}', {"a": "2,3", "b": "4,3"}),
        ('- {from: ["a", "b"], to: c, ops: [{concat: {axis: -1, parts: 2}}]}', {"a": "2,3", "b": "2,3"}),
        ('- {from: ["a", "b"], to: c, ops: [{stack: {axis: 0}}]}', {"a": "2,3", "b": "2,3"}),
        ('- {from: c, to: ["a", "b"], ops: [{split: {axis: 1, sizes: [1, 3]}}]}', {"c": "2,4"}),
        ('- {from: c, to: "a/{i+1}", ops: [{unstack: {axis: 1, over: i}}]}', {"c": "2,4"}),
        ("- {from: a, to: b, ops: [{squeeze: 0}, {expand_dims: 2}, {flip: 0}]}", {"a": "1,2,3"}),
        ("- {from: a, to: b, ops: [{wrap_key_data: threefry2x32}]}", {"a": "uint32:2"}),
        ('- {from: "**", to: "new/**", except: "opt/**"}', {"a/b": "2", "opt/c": "3"}),
        ('- {from: "p/**", to: "m/**", except: "p/D/**"}\n- "p/D/** -> m/head/**"', {"p/a": "2", "p/D/b": "3"}),
    ],
)
def test_the_new_tree_leads_back_to_the_old_one(rules, source):
    if source is None:
        rules = rules.replace('"(n h) d -> d n h"', '{pattern: "(n h) d -> d n h", sizes: {n: 3}}')
    assert [] == leads_back(rules, source or LAYERS)[1]


def test_alternating_layers_lead_back():
    rules = '- "model/layers/{2*i}/** -> local/{i}/**"\n- "model/layers/{i:int where i%2==1}/** -> global/{i//2}/**"'
    assert ['- "local/{i:int}/** -> model/layers/{2*i}/**"', '- "global/{i:int}/** -> model/layers/{2*i+1}/**"'] == (
        leads_back(rules, LAYERS)[0]
    )


def test_moments_lead_back_with_their_params():
    rules = '- {from: "params/a/kernel", to: "params/x/w", ops: [{transpose: {}}]}\n- "params/b/** -> params/y/**"'
    rules_back, _ = leads_back(rules, state(optax.adam(1e-3), KERNELS))
    assert [
        '- {from: "params/x/w", to: "params/a/kernel", ops: [{transpose: {}}]}',
        '- "params/y/** -> params/b/**"',
    ] == rules_back


def test_what_the_rules_created_and_tied_is_left_behind():
    rules = "- {from: c, to: [x, y/z]}\n- create: {to: new, init: zeros}"
    found, findings = leads_back(rules, {"c": "2", "k": "1"}, {"x": "2", "y/z": "2", "k": "1", "new": "3"})
    assert (['- "x -> c"', '- drop: "new"', '- drop: {from: "y/z", assert: {equal: "x"}}'], []) == (found, findings)


def test_what_the_rules_dropped_is_named():
    _, found, _ = turned('- "a -> b"\n- drop: k\n- drop: {from: m, optional: true}', {"a": "2", "k": "1"})
    (finding,) = found.findings
    assert ("M217", "warning", 4) == (finding.code, finding.severity, finding.span.line)
    assert "the rules drop `k`" in finding.message


@pytest.mark.parametrize(
    ("rules", "source", "back"),
    [
        (
            '- "embed -> embedding"\n- drop: {from: head, assert: {equal: embed}}',
            {"embed": "3,2", "head": "3,2"},
            '- {from: "embedding", to: "head", copy: true}',
        ),
        (
            '- "embed -> embedding"\n- drop: {from: head, assert: {equal: embed}, ops: [{transpose: {}}]}',
            {"embed": "3,2", "head": "2,3"},
            '- {from: "embedding", to: "head", ops: [{transpose: {}}], copy: true}',
        ),
        (
            '- {from: "l/{i:int}/a", to: "{i}/a", ops: [{transpose: {}}]}\n'
            '- drop: {from: "l/{i:int}/b", assert: {equal: "l/{i}/a"}, except: l/9/b}',
            {f"l/{i}/{n}": "3,2" for i in range(3) for n in "ab"} | {"l/9/a": "3,2"},
            None,
        ),
    ],
)
def test_what_was_dropped_as_equal_is_copied(rules, source, back):
    plan, found, new = turned(rules, source)
    assert () == found.findings
    assert back is None or back in rules_of(found.inversion)
    again = make_plan(new, found.rules, None, link=False)
    assert again.applicable, [d.message for d in again.diagnostics]
    values = values_for(plan.source.tree)
    for drop in plan.dropped:
        twin = values[drop.equal]
        values[drop.source] = drop.ops[0].inverse(drop.leaf.aval).apply(twin)[0] if drop.ops else twin
    same_bits(values, carried_out(again, carried_out(plan, values)))


def test_moments_of_what_was_dropped_as_equal_are_named():
    source = state(optax.adam(1e-3), {"embed": (3, 2), "head": (3, 2), "out": (4,)})
    rules = '- "params/embed -> params/embedding"\n- drop: {from: params/head, assert: {equal: params/embed}}'
    plan, found, new = turned(rules, source)
    again = make_plan(new, found.rules, None, link=False)
    assert again.applicable, [d.message for d in again.diagnostics]
    lost = {f"opt_state/0/{slot}/head" for slot in ("mu", "nu")}
    assert [("M217", 4, lost)] == [(one.code, one.span.line, set(one.paths)) for one in found.findings]
    assert lost == {"/".join(path) for path in plan.source.tree.leaves.keys() - again.target.leaves.keys()}


def test_what_an_optional_rule_drops_as_equal_is_not_restored():
    rules = "- drop: {from: head, assert: {equal: embed}, optional: true}"
    _, found, _ = turned(rules, {"embed": "3,2", "head": "3,2"})
    assert ((), []) == (found.findings, rules_of(found.inversion))


def test_what_was_dropped_as_equal_is_named_where_the_other_leaf_does_not_determine_it():
    rules = '- drop: {from: "heads/{i:int}", assert: {equal: embed}}'
    _, found, _ = turned(rules, {"embed": "3,2", "heads/0": "3,2"})
    assert ["M217"] == [one.code for one in found.findings]


def test_added_elements_are_cut_off_with_a_warning():
    _, findings = leads_back("- {from: a, to: b, ops: [{pad: [[0, 2]]}, {tile: [3]}]}", {"a": "5"})
    assert [("M217", "warning")] * 2 == findings


def test_elements_that_the_way_back_cuts_off_are_counted():
    rules = """
      - {from: "layer_{i}/w", to: "{i}/w", ops: [{pad: [[1, 2], [0, 0]]}]}
      - {from: b, to: b, ops: [{tile: [3]}]}
      - {from: c, to: c, ops: [{pad: [[0, 0]]}]}
    """
    _, found, _ = turned(rules, {"layer_0/w": "5,7", "layer_1/w": "5,7", "b": "6", "c": "2"})
    assert [
        (
            "M217",
            4,
            "of `0/w` and 1 more, 42 elements that `pad` added are cut off, with what training has made of them",
        ),
        ("M217", 5, "of `b`, 12 elements that `tile` added are cut off, with what training has made of them"),
    ] == [(one.code, one.span.line, one.message) for one in found.findings]


def test_rounding_is_named():
    _, found, _ = turned("- {from: a, to: b, ops: [{scale: 0.3}]}", {"a": "2"})
    assert [("M217", 3)] == [(finding.code, finding.span.line) for finding in found.findings]


def test_rules_keep_the_places_of_those_that_they_reverse():
    rules = '- "a -> b"\n- "model/layers/{i:int}/** -> layers/{i}/**"'
    _, found, new = turned(rules, {"a": "2", **LAYERS})
    assert {3, 4} == {rule.span.line for rule in found.rules.rules}
    assert {"rules.yaml"} == {rule.span.file for rule in found.rules.rules}
    assert {3, 4} == {task.rule.line for task in make_plan(new, found.rules, None).tasks}


@pytest.mark.parametrize(
    ("rules", "source", "message"),
    [
        ('- {from: ["a", "b"], to: c, ops: [{concat: 0}]}', {"a": "2", "b": "4"}, "`concat` without `sizes`"),
        ("- {from: a, to: b, ops: [{reshape: [6]}]}", {"a": "2,3"}, "the results of `reshape` do not determine"),
        ("- {from: a, to: b, ops: [{slice: {axis: 0, stop: 1}}]}", {"a": "2,3"}, "the results of `slice` do not"),
        ('- {from: a, to: b, ops: [{rearrange: "d n h -> d (n h)"}]}', {"a": "2,3,4"}, "`sizes` must give `n` or `h`"),
        ('- {from: {regex: "a_(?P<i>.)"}, to: "b/{i}"}', {"a_1": "2"}, "a regular expression cannot be filled"),
        ('- "a/{x}_{y}/w -> b/{x}"', {"a/1_2/w": "2"}, "its right-hand side does not determine its left-hand side"),
    ],
)
def test_a_rule_that_cannot_be_reversed_is_named_with_what_to_add(rules, source, message):
    (finding,) = refused(rules, source)
    assert ("M215", 3) == (finding.code, finding.span.line)
    assert message in finding.message
    assert "`--template OLD`" in finding.help


def test_the_old_tree_gives_what_the_rules_do_not():
    source = {"a": "2", "b": "4", "c/x": "2,3"}
    rules = '- {from: ["a", "b"], to: ab, ops: [{concat: 0}]}\n- {from: "c/{n}", to: "d/{n}", ops: [{reshape: [6]}]}'
    assert ["M215", "M215"] == [finding.code for finding in refused(rules, source)]
    assert [
        '- {from: "ab", to: ["a", "b"], ops: [{split: {axis: 0, sizes: [2, 4]}}]}',
        '- {from: "d/{n}", to: "c/{n}", ops: [{reshape: {shape: [2, 3]}}]}',
    ] == leads_back(rules, source, old=source)[0]


def test_two_rules_that_may_have_written_a_leaf_are_refused_and_the_optional_one_gives_way():
    rules = '- {from: "a/{n}", to: "x/{n}", optional: true}\n- {from: "b/{n}", to: "x/{n}", optional: true}'
    (finding,) = refused(rules, {"a/w": "2"})
    assert ("M216", 4) == (finding.code, finding.span.line)
    assert ['- "x/{n} -> a/{n}"'] == leads_back(rules.replace(", optional: true", "", 1), {"a/w": "2"})[0]


def test_a_checkpoint_that_the_rules_did_not_write_is_refused():
    new = checkpoint({"other/w": "2"})
    with pytest.raises(PlanError) as caught:
        reversal(parse_rules('migrate: 1\nrules:\n- "a/{n} -> b/{n}"', "rules.yaml"), new)
    (finding,) = caught.value.diagnostics
    assert ("M201", "`b/{n}` has nothing to lead back: no leaf of the checkpoint is its target") == (
        finding.code,
        finding.message,
    )


def test_an_optional_rule_that_does_not_lead_back_leaves_its_target_to_another_rule():
    rules = (
        '- {from: "a/{n}", to: "x/{n}", optional: true}\n- {from: "b/{n}", to: "x/{n}", optional: true, reverse: false}'
    )
    assert ['- "x/{n} -> a/{n}"'] == leads_back(rules, {"a/w": "2"})[0]


def test_a_rule_that_always_applies_and_does_not_lead_back_is_refused():
    (finding,) = refused('- {from: "a/{n}", to: "x/{n}", reverse: false}', {"a/w": "2"})
    assert ("M215", 3) == (finding.code, finding.span.line)
    assert "the rule `a/{n} -> x/{n}` is marked `reverse: false`" in finding.message


def test_choices_make_a_target_more_specific():
    rules = '- "p/** -> **"\n- {from: "s/**/{n:mean|var}", to: "**/{n}", optional: true}'
    assert [] == leads_back(rules, {"p/a/w": "2", "s/a/mean": "2"})[1]


def test_a_named_rest_that_the_right_side_lacks_is_taken_for_nothing():
    assert ['- "x/{n} -> a/{n}"'] == leads_back('- "{root:**}/a/{n} -> x/{n}"', {"a/w": "2"})[0]


FORWARD_ONLY = {"nnx/qkv-to-fused", "linen/scan-to-list"}


@pytest.mark.parametrize("name", [name for name in CASES if name not in FORWARD_ONLY])
def test_a_bundled_file_is_reversed_by_its_name(name):
    rules = load_rules(name)
    plan = make_plan(checkpoint(CASES[name]), rules, None)
    new = replace(checkpoint({}), items={"": plan.target})
    found = reversal(rules, new)
    back = make_plan(new, found.rules, None, link=False)
    assert [] == [one for one in codes(back) if one < "M2"]
    values = values_for(plan.source.tree)
    same_bits(values, carried_out(back, carried_out(plan, values)))


def test_the_digest_is_that_of_the_rules_and_their_reversal():
    rules = '- "model/layers/{i:int}/** -> layers/{i}/**"'
    (_, first, _), (_, again, _) = turned(rules, LAYERS), turned(rules, LAYERS)
    _, other, _ = turned(rules.replace("layers/{i}/**", "blocks/{i}/**"), LAYERS)
    assert first.rules.digest == again.rules.digest
    assert first.rules.digest != other.rules.digest
