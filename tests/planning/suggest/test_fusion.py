"""Fused layers: joined, split and left alone, in the order of their parts."""

from migrate.planning.suggest.fusion import fuse
from migrate.planning.suggest.values import ModelArray


def scope(shapes):
    return {tuple(path.split("/")): ModelArray(shape) for path, shape in shapes.items()}


def fused(source, target):
    found = fuse(scope(source), scope(target), lead=False)
    return [(["/".join(e.path) for e in m.sources], ["/".join(e.path) for e in m.targets], m.ops) for m in found]


PARTS = {f"attn/{name}/kernel": (8, 2, 4) for name in ("query", "key", "value")}


def test_parts_are_joined_in_the_order_of_their_names():
    assert [
        (
            ["attn/query/kernel", "attn/key/kernel", "attn/value/kernel"],
            ["attn/qkv/kernel"],
            ('rearrange: "a b c -> a (b c)"', "concat: {axis: -1}"),
        )
    ] == fused(dict(reversed(PARTS.items())), {"attn/qkv/kernel": (8, 24)})


def test_a_joined_array_is_split_by_the_sizes_of_its_parts():
    ((sources, targets, ops),) = fused({"attn/qkv/kernel": (8, 24)}, PARTS)
    assert (["attn/qkv/kernel"], [*PARTS]) == (sources, targets)
    assert ("split: {axis: -1, sizes: [8, 8, 8]}", 'rearrange: "a (b c) -> a b c"') == tuple(
        op.partition(", sizes")[0].replace('{pattern: "', '"') if op.startswith("rearrange") else op for op in ops
    )


def test_shapes_that_do_not_add_up_are_not_joined():
    assert [] == fused(PARTS, {"attn/qkv/kernel": (8, 23)})
    assert [] == fused({path: shape for path, shape in PARTS.items() if "value" not in path}, {"a/qkv/kernel": (8, 24)})


def test_parts_can_be_stacked_along_a_new_axis():
    ((_, _, ops),) = fused({f"mlp/{n}/kernel": (3, 4) for n in ("gate", "up")}, {"mlp/both/kernel": (2, 3, 4)})
    assert ("stack: {axis: -3}",) == ops


def test_several_places_are_alternatives():
    targets = {"x/qkv/kernel": (8, 24), "y/qkv/kernel": (8, 24)}
    (match,) = fuse(scope(PARTS), scope(targets), lead=False)
    others = [doubt.others for doubt in match.doubts if doubt.others]
    assert [tuple({("x", "qkv", "kernel"), ("y", "qkv", "kernel")} - {match.targets[0].path})] == others


GATED = {f"mlp/{name}/kernel": (4, 6) for name in ("gate_proj", "up_proj")}


def test_a_joined_param_outside_a_layer_is_unstacked_and_back():
    ((sources, targets, ops),) = fused({"mlp/gating_einsum": (2, 4, 6)}, GATED)
    assert (["mlp/gating_einsum"], [*GATED], ("unstack: {axis: -3}",)) == (sources, targets, ops)
    ((sources, targets, ops),) = fused(GATED, {"mlp/gating_einsum": (2, 4, 6)})
    assert ([*GATED], ["mlp/gating_einsum"], ("stack: {axis: -3}",)) == (sources, targets, ops)


def test_a_joined_param_and_parts_that_are_no_layers_are_found():
    ((sources, targets, ops),) = fused({"attn/qkv": (3, 8, 8)}, {f"attn/w{part}": (8, 2, 4) for part in "qkv"})
    assert (["attn/qkv"], ["attn/wq", "attn/wk", "attn/wv"]) == (sources, targets)
    assert "unstack: {axis: -3}" == ops[0]


def test_a_joined_bias_holds_biases():
    parts = {f"attn/{name}/{leaf}": (3,) for name in ("q_proj", "k_proj", "v_proj") for leaf in ("bias", "scale")}
    ((sources, _, _),) = fused({"attn/qkv_bias": (3, 3)}, parts)
    assert ["attn/qkv_bias"] == sources
    ((_, targets, _),) = fused({"attn/qkv_bias": (3, 3)}, parts)
    assert {"bias"} == {target.rpartition("/")[2] for target in targets}


def test_the_other_order_of_two_parts_is_an_alternative_with_its_ops():
    (match,) = fuse(scope({"mlp/gating_einsum": (2, 4, 6)}), scope(GATED), lead=False)
    (doubt,) = match.doubts
    assert [("flip: {axis: -3}", "unstack: {axis: -3}")] == [way.ops for way in doubt.alternatives]
