"""Quantized weights without their scales are never proved, and the plan names the scales."""

import re

import pytest

from migrate.planning.proof import after_probe
from tests.planning.trees import planned

FP8 = "float8_e4m3fn:8,4"


def proof_and_warnings(rules, source, target=None):
    plan = planned(rules, source, target)
    assert plan.applicable, plan.diagnostics
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
    proofs, (warning,) = proof_and_warnings(rules, {f"l/{weight}": f"{dtype}:8,4", f"l/{companion}": "1,4"})
    assert ({"m/k": "none"}, "warning") == (proofs, warning.severity)
    assert f"`l/{companion}`, which is left behind" in warning.message


def test_a_packed_weight_is_one_by_its_name():
    source = {"l/qweight": "int32:8,3", "l/qzeros": "int32:2", "l/scales": "float16:5"}
    proofs, (warning,) = proof_and_warnings('- "l/qweight -> m/k"\n- drop: ["l/qzeros", "l/scales"]', source)
    assert {"m/k": "none"} == proofs
    assert "`l/qzeros`, `l/scales`, which are left behind" in warning.message


def test_a_weight_that_keeps_its_name_is_not_proved_by_it():
    source, rules = {"l/k": FP8, "l/k_scale": "4"}, "rules: []\nunmatched: {source: drop}"
    proofs, warnings = proof_and_warnings(rules, source, {"l/k": FP8})
    assert ({"l/k": "none"}, 1) == (proofs, len(warnings))


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
    proofs, warnings = proof_and_warnings(rules, source)
    assert [] == warnings
    assert "none" not in proofs.values()


def test_layers_are_one_warning():
    source = {f"l_{i}/{name}": text for i in range(3) for name, text in {"k": FP8, "k_scale": "4"}.items()}
    _, (warning,) = proof_and_warnings('- "l_{i}/k -> m/{i}/k"\n- drop: "l_{i}/k_scale"', source)
    assert warning.message.endswith(", and 2 more like it")


def test_the_proposed_rule_removes_the_warning():
    source = {f"l_{i}/{name}": text for i in range(2) for name, text in {"k": FP8, "k_scale": "1,4"}.items()}
    target = {f"m/{i}/k": "bfloat16:8,4" for i in range(2)}
    rules = '- {from: "l_{i}/k", to: "m/{i}/k", ops: [{cast: template}]}\n- drop: "l_{i}/k_scale"'
    _, (warning,) = proof_and_warnings(rules, source, target)
    (proposed,) = re.findall("`(- .*)`", warning.help)
    assert [] == list(planned(proposed, source, target).diagnostics)


def test_a_probe_can_prove_it():
    plan = planned('- "l/k -> m/k"\n- drop: "l/k_scale"', {"l/k": FP8, "l/k_scale": "4"})
    assert ["value"] == [task.proved for task in after_probe(plan, {("m", "k")}).tasks]
