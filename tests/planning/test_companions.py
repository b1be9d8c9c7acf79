"""Quantized weights without their scales are refused and never proved, and the plan shows the rule that joins them."""

import re

import pytest

from migrate.planning.proof import after_probe
from tests.planning.trees import planned

FP8 = "float8_e4m3fn:8,4"


def proof_and_errors(rules, source, target=None):
    plan = planned(rules, source, target)
    proofs = {"/".join(path): task.proved for task in plan.tasks for path in task.targets}
    return proofs, [d for d in plan.diagnostics if d.code == "M214"]


@pytest.mark.parametrize(
    ("weight", "companion"),
    [
        ("kernel", "kernel_scale_inv"),
        ("weight", "weight_scale"),
        ("w", "w_inv"),
        ("qvalue", "scale"),
        ("weight", "SCB"),
        ("kernel", "kernel_zero_point"),
    ],
)
@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "int8", "uint8", "int4"])
def test_a_weight_without_its_scale_is_unproved_and_the_scale_is_named(weight, companion, dtype):
    rules = f'- {{from: "l/{weight}", to: "m/k", ops: [{{cast: float32}}]}}\n- drop: "l/{companion}"'
    proofs, (error,) = proof_and_errors(rules, {f"l/{weight}": f"{dtype}:8,4", f"l/{companion}": "1,4"})
    assert ({"m/k": "none"}, "error") == (proofs, error.severity)
    assert f"`l/{companion}`, which is left behind" in error.message


def test_a_packed_weight_is_one_by_its_name():
    source = {"l/qweight": "int32:8,3", "l/qzeros": "int32:2", "l/scales": "float16:5"}
    proofs, (error,) = proof_and_errors('- "l/qweight -> m/k"\n- drop: ["l/qzeros", "l/scales"]', source)
    assert {"m/k": "none"} == proofs
    assert "`l/qzeros`, `l/scales`, which are left behind" in error.message


def test_a_weight_that_keeps_its_name_is_not_proved_by_it():
    source, rules = {"l/k": FP8, "l/k_scale": "4"}, "rules: []\nunmatched: {source: drop}"
    proofs, errors = proof_and_errors(rules, source, {"l/k": FP8})
    assert ({"l/k": "none"}, 1) == (proofs, len(errors))


@pytest.mark.parametrize(
    ("rules", "source"),
    [
        ('- "l/** -> m/**"', {"l/k": FP8, "l/k_scale": "4"}),
        ('- "l/k -> m/k"\n- drop: "l/scale_of_norm"', {"l/k": FP8, "l/scale_of_norm": "7"}),
        ('- "l/k -> m/k"\n- drop: "n/k_scale"', {"l/k": FP8, "n/k_scale": "7"}),
        ('- "l/k -> m/k"\n- drop: "l/k_scale"', {"l/k": "8,4", "l/k_scale": "7"}),
        ('- "l/n -> m/n"\n- drop: ["l/k", "l/k_scale"]', {"l/k": FP8, "l/k_scale": "7", "l/n": "3"}),
    ],
    ids=["both move", "another name", "another node", "wide", "both dropped"],
)
def test_nothing_else_is_a_weight_without_its_scale(rules, source):
    proofs, errors = proof_and_errors(rules, source)
    assert [] == errors
    assert "none" not in proofs.values()


def test_layers_are_one_error():
    source = {f"l_{i}/{name}": text for i in range(3) for name, text in {"k": FP8, "k_scale": "4"}.items()}
    _, (error,) = proof_and_errors('- "l_{i}/k -> m/{i}/k"\n- drop: "l_{i}/k_scale"', source)
    assert error.message.endswith(", and 2 more like it")


def proposal(rules, source, target=None):
    """Returns the rule that the error proposes, after checking that it is right as it is."""
    _, (error,) = proof_and_errors(rules, source, target)
    (proposed,) = re.findall("`(- .*)`", error.help)
    assert [] == list(planned(proposed, source, target).diagnostics)
    return proposed


def test_the_proposed_rule_dequantizes():
    source = {f"l_{i}/{name}": text for i in range(2) for name, text in {"k": FP8, "k_scale": "1,4"}.items()}
    target = {f"m/{i}/k": "bfloat16:8,4" for i in range(2)}
    rules = '- {from: "l_{i}/k", to: "m/{i}/k", ops: [{cast: template}]}\n- drop: "l_{i}/k_scale"'
    proposed = proposal(rules, source, target)
    assert (
        '- {from: {value: "l_{i}/k", scale: "l_{i}/k_scale"}, to: "m/{i}/k", ops: [{dequantize: {to: template}}]}'
        == proposed
    )


def test_the_proposed_rule_keeps_the_other_ops_of_the_weight():
    source = {f"l_{i}/{name}": text for i in range(2) for name, text in {"k": FP8, "k_scale": "1,4"}.items()}
    rules = (
        '- {from: "l_{i}/k", to: k, ops: [transpose, {cast: float32}, {stack: {axis: 0, over: i}}]}\n'
        '- drop: "l_{i}/k_scale"'
    )
    assert "ops: [{dequantize: {}}, {transpose: {}}, {stack: {axis: 0, over: i}}]}" in proposal(rules, source)


@pytest.mark.parametrize(("scale", "axis"), [("8", 1), ("4", 0)])
def test_the_proposed_rule_gives_a_vector_of_scales_the_axis_that_it_lacks(scale, axis):
    rules = '- "l/k -> m/k"\n- drop: "l/k_scale"'
    proposed = proposal(rules, {"l/k": "int8:8,4", "l/k_scale": scale})
    assert f"ops: [{{expand_dims: {{axis: {axis}, of: scale}}}}, {{dequantize: {{}}}}]" in proposed


def test_the_proposed_rule_takes_the_zero_point_too():
    source = {"l/qvalue": "int8:8,4", "l/scale": "2,4", "l/zero_point": "int8:2,4"}
    proposed = proposal('- "l/qvalue -> m/k"\n- drop: ["l/scale", "l/zero_point"]', source)
    assert 'from: {value: "l/qvalue", scale: "l/scale", zero_point: "l/zero_point"}' in proposed


def test_the_proposed_rule_for_packed_blocks_is_mxfp4():
    source = {"e/up_blocks": "uint8:2,8,3,16", "e/up_scales": "uint8:2,8,3"}
    proposed = proposal('- "e/up_blocks -> m/up"\n- drop: "e/up_scales"', source)
    assert '- {from: {blocks: "e/up_blocks", scales: "e/up_scales"}, to: "m/up", ops: [{mxfp4: {}}]}' == proposed


def test_the_proposed_rule_calls_a_function_where_no_op_knows_the_format():
    source = {"l/qweight": "int32:8,3", "l/qzeros": "int32:2", "l/scales": "float16:5"}
    target = {"m/k": "bfloat16:64,3"}
    proposed = proposal('- "l/qweight -> m/k"\n- drop: ["l/qzeros", "l/scales"]', source, target)
    assert 'ops: [{call: {function: "my_module:dequantize", of: [value, qzeros, scales]' in proposed


def test_a_probe_could_prove_it_and_yet_it_is_refused():
    plan = planned('- "l/k -> m/k"\n- drop: "l/k_scale"', {"l/k": FP8, "l/k_scale": "4"})
    assert ["value"] == [task.proved for task in after_probe(plan, {("m", "k")}).tasks]
    assert not plan.applicable
