import pytest
from hypothesis import HealthCheck, given, settings

from migrate.codes import InexpressibleRules
from migrate.errors import PlanError
from migrate.planning.invert.expressions import expressions
from migrate.planning.planner import make_plan
from migrate.planning.versions.squash import squash
from migrate.rules.editor_line import EDITOR_LINE
from migrate.rules.loader import parse_rules
from tests.matrix import examples
from tests.planning.invert.cases import same_bits, values_for
from tests.planning.trees import checkpoint
from tests.planning.versions.chains import both, files, made_by, random_chains, step_by_step


def squashed(source, *rules):
    """The lines of the rules of a squashed file, once its text alone was seen to compute the same."""
    made = squash(checkpoint(source), files(*rules))
    fused = both(source, *rules)[1]
    target = files(*rules)[-1].template
    again = make_plan(checkpoint(source), parse_rules(made.text, "squashed.yaml"), target)
    assert again.applicable
    assert expressions(fused.tasks) == expressions(again.tasks)
    lines = made.text.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("rules:"))
    return [line.strip() for line in lines[at + 1 :]]


LAYERS = {f"params/Dense_{i}/{name}": "3,4" for i in range(3) for name in ("kernel", "scale")}


def test_renames_become_one_pattern():
    assert ['- "params/Dense_{i}/** -> model/layers/{i}/**"'] == squashed(
        LAYERS, '- "params/Dense_{i}/** -> dense/{i}/**"', '- "dense/** -> model/layers/**"'
    )


def test_ops_are_written_in_order():
    (rule,) = squashed(
        {f"l/{i}/w": "3,4" for i in range(3)},
        '- {from: "l/{i}/w", to: "k/{i}/w", ops: [transpose]}',
        '- {from: "k/{i}/w", to: "k/w", ops: [{stack: {over: i}}]}',
    )
    assert rule == '- {from: "l/{i}/w", to: "k/w", ops: [{transpose: {}}, {stack: {axis: 0, over: i}}]}'


def test_unlike_leaves_are_listed_in_the_order_of_the_inputs():
    source = {f"l/{i}/{name}": text for i in range(3) for name, text in {"w": "int8:3,4", "s": "3,1"}.items()}
    (rule,) = squashed(
        source,
        '- {from: {scale: "l/{i}/s", value: "l/{i}/w"}, to: "x/{i}", ops: [dequantize]}',
        '- {from: "x/{i}", to: k, ops: [{stack: {axis: 0, over: i}}]}',
    )
    assert '- {from: ["l/{j}/w", "l/{j}/s"], to: "k", ops: [{dequantize: {}}, {stack: {axis: 0, over: j}}]}' == rule


def test_a_stack_is_divided_again():
    (rule,) = squashed(
        {"s": "3,4"},
        '- {from: s, to: "k/{i}", ops: [{unstack: {over: i}}]}',
        '- {from: "k/{i}", to: "w/{i}", ops: [{cast: bfloat16}]}',
    )
    assert rule == '- {from: "s", to: "w/{i}", ops: [{unstack: {axis: 0, over: i}}, {cast: {to: bfloat16}}]}'


def test_moments_follow_in_the_squashed_file_too():
    source = {"params/a/w": "2,3", "opt/mu/a/w": "2,3"}
    rules = squashed(
        source, '- {from: "params/a/w", to: "params/b/w", ops: [transpose]}', '- "params/b/** -> params/c/**"'
    )
    assert ['- {from: "params/a/w", to: "params/c/w", ops: [{transpose: {}}]}'] == rules


def test_ties_drops_and_creations_are_written():
    rules = squashed(
        {"a": "2", "b": "2", "c": "2"},
        "- {from: a, to: [d, e]}\n- drop: b",
        (
            "- {create: {to: n, init: {constant: 2}}}\n- {drop: {from: c, assert: zero}}",
            {"d": "2", "e": "2", "n": "3"},
        ),
    )
    assert [
        '- {from: "a", to: ["d", "e"], ops: []}',
        '- drop: "b"',
        '- drop: {from: "c", assert: zero}',
        '- create: {to: "n", init: {constant: 2}}',
    ] == rules


def test_the_head_names_both_versions_and_the_files():
    text = squash(checkpoint({"a": "2"}), files('- "a -> b"', '- "b -> c"')).text
    assert [
        EDITOR_LINE,
        "# Squashed: 2.yaml, 3.yaml",
        "migrate: 1",
        'source: {model: "m", version: 1}',
        'target: {model: "m", version: 3}',
    ] == text.splitlines()[:5]


def test_different_ops_on_the_arrays_of_one_result_cannot_be_written():
    with pytest.raises(PlanError) as caught:
        squash(
            checkpoint({"a": "2,3", "b": "3,2"}),
            files("- {from: a, to: c, ops: [transpose]}", "- {from: [c, b], to: d, ops: [concat]}"),
        )

    (problem,) = caught.value.diagnostics
    assert InexpressibleRules.number == problem.code
    assert "the chain from 2.yaml to 3.yaml cannot be written as one rule file: `d`" == problem.message


@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
@given(random_chains())
def test_a_squashed_random_chain_computes_the_same_bits(chain):
    source, rules = chain
    if len(rules) < 2:
        return
    try:
        made = squash(checkpoint(source), files(*rules))
    except PlanError:
        return
    plans, _ = both(source, *rules)
    values = values_for(plans[0].source.tree)

    same_bits(step_by_step(plans, values), made_by(made.plan, values))
