"""Bundled rule files, inverted where they lose nothing."""

import pytest

from migrate.planning.invert.pipeline import invert
from migrate.planning.planner import make_plan
from migrate.rules.loader import load_rules, parse_rules
from tests.planning.invert.cases import back_and_forth, lost, same_bits, values_for
from tests.planning.trees import Template, checkpoint

BLOCK = {"Dense_0/kernel": "4,8", "Dense_0/bias": "8", "LayerNorm_0/scale": "4"}
SCANNED = {f"params/ScanBlock_0/{name}": f"3,{shape}" for name, shape in BLOCK.items()}
LISTED = {f"params/Block_{i}/{name}": shape for i in range(3) for name, shape in BLOCK.items()}
HEADS = {f"a/{part}/{leaf}": shape for part in ("query", "key", "value") for leaf, shape in
         {"kernel": "8,2,4", "bias": "2,4"}.items()} | {"a/out/kernel": "2,4,8", "a/out/bias": "8"}  # fmt: skip
GPT2 = {
    "wte/weight": "9,4", "wpe/weight": "5,4", "ln_f/weight": "4", "ln_f/bias": "4",
    **{
        f"h/{i}/{name}": shape
        for i in range(2)
        for name, shape in {
            "ln_1/weight": "4", "ln_1/bias": "4", "ln_2/weight": "4", "ln_2/bias": "4",
            "attn/c_attn/weight": "4,12", "attn/c_attn/bias": "12", "attn/c_proj/weight": "4,4",
            "attn/c_proj/bias": "4", "mlp/c_fc/weight": "4,16", "mlp/c_fc/bias": "16",
            "mlp/c_proj/weight": "16,4", "mlp/c_proj/bias": "4",
        }.items()
    },
}  # fmt: skip
CASES = {
    "portable": LISTED,
    "linen/scan-to-list": SCANNED,
    "linen/list-to-scan": LISTED,
    "nnx/qkv-to-fused": HEADS,
    "hf/gpt2-to-nnx": GPT2,
}


def comes_back(plan):
    """The inversion, once it was seen to give back every bit."""
    assert plan.applicable, [d.message for d in plan.diagnostics]
    values = values_for(plan.source.tree)
    inversion, back = back_and_forth(plan, values)
    assert {} == lost(inversion)
    same_bits(values, back)
    return inversion


@pytest.mark.parametrize("name", CASES)
def test_a_bundled_file_without_a_template_goes_back(name):
    comes_back(make_plan(checkpoint(CASES[name]), load_rules(name), None))


def test_shapes_that_a_template_gave_are_written_out():
    fused = make_plan(checkpoint(HEADS), load_rules("nnx/qkv-to-fused"), None).target
    texts = {"/".join(path): ",".join(map(str, leaf.aval.shape)) for path, leaf in fused.leaves.items()}
    inversion = comes_back(make_plan(checkpoint(texts), load_rules("nnx/fused-to-qkv"), Template(HEADS)))
    assert "template" not in "".join(inversion.text.partition("rules:")[2:])


def test_an_included_file_that_serves_two_places_goes_back_from_both():
    text = """
migrate: 1
include:
  - {file: nnx/unstack, under: encoder, to: enc}
  - {file: nnx/unstack, under: decoder, to: dec}
"""
    source = {f"{side}/{name}": f"3,{shape}" for side in ("encoder", "decoder") for name, shape in BLOCK.items()}
    comes_back(make_plan(checkpoint(source), parse_rules(text + "rules: []", "rules.yaml"), None))


def test_a_file_that_drops_says_what_is_lost():
    source = {"params/Dense_0/kernel": "3", "cache/Dense_0/x": "3"}
    plan = make_plan(checkpoint(source), load_rules("linen/to-nnx"), Template({"Dense_0/kernel": "3"}))
    assert {"cache/Dense_0/x": "dropped"} == lost(invert(plan))
