"""Transformers of other libraries: layers with known names.

Covers `columns` (what names mean), `known` (what corresponds), `known_ops` and `known_drafts` (rules), `heads` (tied
embeddings) and `conventions` (the numbers of MaxText). `tests/families/test_suggested.py` has whole models.
"""

import time

import pytest

from migrate.planning.suggest.columns import read_columns
from migrate.planning.suggest.layout import lay_out
from tests.planning.suggest.laws import faults
from tests.planning.suggest.trees import moves, rules_of, suggested, tree

D, HEADS, GROUPS, SIZE, F, V = 32, 4, 2, 16, 48, 50


def block(prefix, shapes):
    return {prefix + name: shape for name, shape in shapes.items()}


def blocks(prefix, shapes, count=2):
    return {name: shape for i in range(count) for name, shape in block(prefix.format(i=i), shapes).items()}


ATTENTION = {"q": (HEADS * SIZE, D), "k": (GROUPS * SIZE, D), "v": (GROUPS * SIZE, D)}
TORCH_ATTENTION = {f"self_attn/{p}_proj/weight": shape for p, shape in ATTENTION.items()}
TORCH_ATTENTION["self_attn/o_proj/weight"] = (D, HEADS * SIZE)
TORCH_MLP = {f"mlp/{p}_proj/weight": (F, D) for p in ("gate", "up")} | {"mlp/down_proj/weight": (D, F)}
TORCH_NORMS = {"input_layernorm/weight": (D,), "post_attention_layernorm/weight": (D,)}
TORCH = {"model/embed_tokens/weight": (V, D), "model/norm/weight": (D,)}
LLAMA = TORCH | blocks("model/layers/{i}/", TORCH_ATTENTION | TORCH_MLP | TORCH_NORMS)

NNX_ATTENTION = {
    "attention/query/kernel": (D, HEADS, SIZE),
    "attention/key/kernel": (D, GROUPS, SIZE),
    "attention/value/kernel": (D, GROUPS, SIZE),
    "attention/out/kernel": (HEADS, SIZE, D),
}
NNX_MLP = {"mlp/gate/kernel": (D, F), "mlp/up/kernel": (D, F), "mlp/down/kernel": (F, D)}
NNX_NORMS = {"norm1/scale": (D,), "norm2/scale": (D,)}
NNX = {"embed/embedding": (V, D), "norm/scale": (D,)}
OURS = NNX | blocks("blocks/{i}/", NNX_ATTENTION | NNX_MLP | NNX_NORMS)


def only(old, new):
    """The rules for a part of a model, and the suggestion; it passes its own check and places every leaf."""
    suggestion = suggested(old, new)
    assert [] == list(faults(suggestion))
    assert suggestion.plan.applicable
    return rules_of(suggestion), suggestion


def test_a_llama_of_hugging_face_becomes_a_model_of_nnx_without_a_doubt():
    _, suggestion = only(LLAMA, OURS)
    assert {} == suggestion.doubts
    assert {
        "model/layers/1/self_attn/q_proj/weight": "blocks/1/attention/query/kernel",
        "model/layers/1/mlp/gate_proj/weight": "blocks/1/mlp/gate/kernel",
        "model/layers/1/post_attention_layernorm/weight": "blocks/1/norm2/scale",
        "model/norm/weight": "norm/scale",
    }.items() <= moves(suggestion).items()
    assert "# known names; layers by number" in suggestion.text


def meaning(path, *, beside=()):
    leaves = lay_out(tree(dict.fromkeys([path, *beside], (2, 2)))).of("model")
    return next(c.named for c in read_columns(leaves) if "/".join(c.first.path) == path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("layers/0/self_attn/q_proj/weight", "query"),
        ("layers/0/attn/q_einsum/w", "query"),
        ("layers/0/attn/q_bias", "query"),
        ("decoder/layers_3/self_attention/query/kernel", "query"),
        ("encoder/layer/0/attention/self/query/weight", "query"),
        ("decoder/block/0/layer/1/EncDecAttention/q/weight", "cross query"),
        ("layers/0/attention/wo/weight", "output"),
        ("layers/0/mlp/wo/kernel", "down"),
        ("h/0/attn/c_proj/weight", "output"),
        ("h/0/mlp/c_proj/weight", "down"),
        ("encoder/layer/0/attention/output/dense/weight", "output"),
        ("encoder/layer/0/output/dense/weight", "down"),
        ("layers/0/block_sparse_moe/experts/4/w2/weight", "down"),
        ("layers/0/mlp/wi/kernel", "up"),
        ("layers/0/something/else", ""),
        ("model/embed_tokens/weight", "embedding"),
        ("decoder/logits_dense/kernel", "head"),
    ],
)
def test_a_name_has_its_meaning_in_its_place(path, expected):
    assert expected == meaning(path).meaning


def test_a_gate_beside_gates_of_experts_is_a_router():
    experts = ["layers/0/mlp/experts/0/gate_proj/weight", "layers/0/mlp/experts/0/up_proj/weight"]
    assert "router" == meaning("layers/0/mlp/gate/weight", beside=experts).meaning
    assert "gate" == meaning("layers/0/mlp/gate/kernel", beside=["layers/0/mlp/up/kernel"]).meaning


def test_the_first_of_two_matrices_is_no_gate():
    assert "up" == meaning("layers/0/mlp/w1/weight", beside=["layers/0/mlp/w2/weight"]).meaning
    three = ["layers/0/mlp/w2/weight", "layers/0/mlp/w3/weight"]
    assert "gate" == meaning("layers/0/mlp/w1/weight", beside=three).meaning


def test_a_norm_in_a_module_of_its_own_belongs_to_the_layer_beside_it():
    inside = "decoder/block/0/layer"
    beside = [f"{inside}/0/SelfAttention/q/weight", f"{inside}/1/EncDecAttention/q/weight"]
    ranks = [meaning(f"{inside}/{i}/layer_norm/weight", beside=beside).rank for i in range(2)]
    assert ranks == [meaning(f"layers/0/{name}/scale").rank for name in ("attention_norm", "cross_norm")]


def test_norms_whose_names_show_no_position_correspond_in_their_order_and_are_in_doubt():
    names = ("attention/output/LayerNorm", "output/LayerNorm")
    old = blocks("encoder/layer/{i}/", {f"{name}/weight": (D,) for name in names})
    _, suggestion = only(old, blocks("layers/{i}/", {"attention_norm/scale": (D,), "norm/scale": (D,)}))
    assert "layers/0/attention_norm/scale" == moves(suggestion)["encoder/layer/0/attention/output/LayerNorm/weight"]
    assert 2 == len(suggestion.doubts)


def test_a_square_matrix_of_torch_is_transposed_because_of_its_name():
    lines, suggestion = only({"layers/0/mlp/up_proj/weight": (D, D)}, {"blocks/0/mlp/up/kernel": (D, D)})
    assert "{transpose: [1, 0]}" in "".join(lines)
    assert {} == suggestion.doubts


def test_a_square_matrix_of_torch_with_an_unknown_name_is_transposed_and_in_doubt():
    lines, suggestion = only(LLAMA | {"first/weight": (V, V)}, OURS | {"one/kernel": (V, V)})
    assert '{rearrange: "a b -> b a"}' in "".join(lines)
    assert "or: not transposed" in suggestion.text


@pytest.mark.parametrize("turned", [False, True], ids=["as published", "as nn.Linear"])
def test_the_shape_of_c_attn_shows_whether_square_matrices_beside_it_are_transposed(turned):
    shape = (3 * D, D) if turned else (D, 3 * D)
    old = blocks("h/{i}/", {"attn/c_attn/weight": shape, "attn/c_proj/weight": (D, D)})
    new = blocks("blocks/{i}/", {"attn/qkv/kernel": (D, 3 * D), "attn/out/kernel": (D, D)})
    lines, _ = only(old, new)
    assert 2 * turned == "".join(lines).count("transpose: [1, 0]")


def test_matrices_with_names_of_torch_that_were_transposed_before_stay_as_they_are():
    old = blocks("layers/{i}/", {"mlp/up_proj/weight": (D, F), "mlp/down_proj/weight": (F, D)})
    squares = blocks("layers/{i}/", {"self_attn/o_proj/weight": (D, D)})
    new = blocks("blocks/{i}/", {"mlp/up/kernel": (D, F), "mlp/down/kernel": (F, D), "attention/out/kernel": (D, D)})
    lines, _ = only(old | squares, new)
    assert "transpose" not in "".join(lines)


def test_a_model_that_stores_the_layers_of_gpt2_as_torch_does_shows_it_by_shapes():
    old = blocks("h/{i}/", {"attn/c_attn/weight": (D, 3 * D), "attn/c_proj/weight": (D, D)})
    new = blocks("h/{i}/", {"attn/c_attn/kernel": (3 * D, D), "attn/c_proj/kernel": (D, D)})
    lines, suggestion = only(old, new)
    assert ["ops: [{transpose: [1, 0]}]"] == lines[2:]
    assert {} == suggestion.doubts


def test_blocks_of_another_number_may_be_others():
    suggestion = suggested(blocks("model/layers/{i}/", TORCH_MLP, count=4), blocks("blocks/{i}/", NNX_MLP, count=2))
    assert "the other side has another number of blocks" in suggestion.text
    assert 6 == len(suggestion.doubts)


def test_a_norm_after_the_attention_may_be_that_before_the_mlp():
    names = ("pre_attention_norm", "post_attn_norm", "pre_ffw_norm", "post_ffw_norm")
    new = blocks("layers/{i}/", {f"{name}/scale": (D,) for name in names} | {"mlp/up_proj/kernel": (D, F)})
    old = blocks("model/layers/{i}/", TORCH_NORMS | {"mlp/up_proj/weight": (F, D)})
    doubts = suggested(old, new).doubts
    assert {"post_attention_layernorm"} == {path[-2] for path in doubts}


def test_experts_in_a_list_become_one_array_and_lead_back():
    experts = {f"mlp/experts/{e}/up_proj/weight": (F, D) for e in range(11)} | {"mlp/gate/weight": (11, D)}
    one = {"mlp/up_proj": (11, D, F), "mlp/router/kernel": (D, 11)}
    lines, _ = only(
        blocks(
            "model/layers/{i}/",
            {**experts, "mlp/experts/0/gate_proj/weight": (F, D)}
            | {f"mlp/experts/{e}/gate_proj/weight": (F, D) for e in range(11)},
        ),
        blocks("layers/{i}/", one | {"mlp/gate_proj": (11, D, F)}),
    )
    assert "ops: [{transpose: [1, 0]}, {stack: {axis: 0, over: e}}]" in "".join(lines)


@pytest.mark.parametrize("axis", [0, 1])
def test_blocks_are_stacked_along_the_axis_that_fits_all_arrays(axis):
    def stacked(shape):
        return (*shape[:axis], 2, *shape[axis:])

    names = {"self_attention/query/kernel": (D, HEADS, SIZE), "mlp/wo/kernel": (F, D)}
    names["pre_self_attention_layer_norm/scale"] = (D,)
    new = {f"decoder/layers/{name}": stacked(shape) for name, shape in names.items()}
    old = blocks(
        "model/layers/{i}/",
        {
            "self_attn/q_proj/weight": (HEADS * SIZE, D),
            "mlp/down_proj/weight": (D, F),
            "input_layernorm/weight": (D,),
        },
    )
    lines, _ = only(old | {"model/norm/weight": (D,)}, new | {"decoder/decoder_norm/scale": (D,)})
    assert 3 == "".join(lines).count(f"stack: {{axis: {axis}, over: i}}")


def test_stacked_blocks_and_experts_become_lists():
    old = {"decoder/layers/moe_block/wi_1": (3, 2, D, F), "decoder/layers/moe_block/wi_0": (3, 2, D, F)}
    old["decoder/decoder_norm/scale"] = (D,)
    new = blocks("layers/{i}/", {f"mlp/experts/{e}/{p}/kernel": (D, F) for e in range(3) for p in ("up", "gate")})
    lines, _ = only(old, new | {"final_norm/w": (D,)})
    assert "ops: [{unstack: {axis: 1, over: i}}, {unstack: {axis: 0, over: e}}]" in "".join(lines)


def test_every_second_layer_is_global_in_maxtext():
    names = {f"mlp_{kind}/wo/kernel": (F, 2, D) for kind in ("local", "global")}
    new = {f"decoder/layers/{name}": shape for name, shape in names.items()} | {"decoder/decoder_norm/scale": (D,)}
    old = blocks("model/layers/{i}/", {"mlp/down_proj/weight": (D, F)}, count=4) | {"model/norm/weight": (D,)}
    _, suggestion = only(old, new)
    sources = {"/".join(task.targets[0]): task.sources for task in suggestion.plan.tasks}
    assert ["1", "3"] == [path[2] for path in sources["decoder/layers/mlp_global/wo/kernel"]]


GROUPED = {f"decoder/layers/layers_{k}/mlp/wo/kernel": (F, 2, D) for k in range(3)} | {
    "decoder/layers_remainder/layers_0/mlp/wo/kernel": (F, D),
    "decoder/decoder_norm/scale": (D,),
}
"""MaxText's groups of layers, here of three, and the rest."""


def test_groups_of_layers_and_the_rest_become_maxtexts():
    old = blocks("model/layers/{i}/", {"mlp/down_proj/weight": (D, F)}, count=7) | {"model/norm/weight": (D,)}
    lines, suggestion = only(old, GROUPED)
    assert {} == suggestion.doubts
    sources = {"/".join(task.targets[0]): task.sources for task in suggestion.plan.tasks}
    assert ["0", "3"] == [path[2] for path in sources["decoder/layers/layers_0/mlp/wo/kernel"]]
    assert [("model", "layers", "6", "mlp", "down_proj", "weight")] == [
        *sources["decoder/layers_remainder/layers_0/mlp/wo/kernel"]
    ]
    assert any("except" in line and "model/layers/6/" in line for line in lines)


def test_groups_of_layers_and_the_rest_lead_back():
    new = blocks("layers/{i}/", {"mlp/down_proj/kernel": (F, D)}, count=7) | {"final_norm/w": (D,)}
    _, suggestion = only(GROUPED, new)
    targets = {"/".join(task.sources[0]): task.targets for task in suggestion.plan.tasks}
    assert ["2", "5"] == [path[1] for path in targets["decoder/layers/layers_2/mlp/wo/kernel"]]
    assert ["6"] == [path[1] for path in targets["decoder/layers_remainder/layers_0/mlp/wo/kernel"]]


def test_keys_and_values_of_a_stack_are_joined_before_it_is_taken_apart():
    old = {f"decoder/layers/self_attention/{p}/kernel": (D, 2, GROUPS, SIZE) for p in ("key", "value")}
    lines, _ = only(
        old | {"decoder/decoder_norm/scale": (D,)},
        blocks("layers/{i}/", {"attn/kv_einsum/w": (2, GROUPS, D, SIZE)}) | {"final_norm/w": (D,)},
    )
    assert "ops: [{stack: {axis: -1}}, {unstack: {axis: 1, over: i}}, {transpose: [3, 1, 0, 2]}]" in lines


def test_moments_of_scaled_params_follow():
    lines, _ = only(TO_MAXTEXT, MAXTEXT)
    assert "moments: follow" in "".join(lines)


@pytest.mark.parametrize(
    ("parts", "whole", "shape", "join"),
    [
        ("kv", "kv_einsum/w", (2, GROUPS, D, SIZE), "stack: {axis: 0}"),
        ("kv", "kv_proj/kernel", (D, 2 * GROUPS * SIZE), "concat: {axis: 1}"),
        ("qkv", "qkv/kernel", (D, (HEADS + 2 * GROUPS) * SIZE), "concat: {axis: 1}"),
    ],
)
def test_parts_are_joined_and_their_order_is_in_doubt(parts, whole, shape, join):
    old = blocks("model/layers/{i}/", {f"self_attn/{p}_proj/weight": ATTENTION[p] for p in parts})
    lines, suggestion = only(old, blocks("layers/{i}/", {f"attn/{whole}": shape}))
    assert join in "".join(lines)
    assert f"in `{whole.partition('/')[0]}`" in suggestion.text
    assert len(suggestion.doubts) == 2 * len(parts)


@pytest.mark.parametrize(
    ("shape", "apart"),
    [((2, F, D), "unstack: {axis: 0}"), ((2, D, F), "unstack: {axis: 0}"), ((D, 2 * F), "split: {axis: 1")],
)
def test_a_fusion_is_taken_apart(shape, apart):
    old = {f"layers/{i}/mlp/gating_einsum": shape for i in range(2)}
    new = blocks("blocks/{i}/", {"mlp/gate/kernel": (D, F), "mlp/up/kernel": (D, F)})
    lines, suggestion = only(old, new)
    assert apart in "".join(lines)
    assert 2 == len(suggestion.doubts)


def test_a_head_that_only_the_template_has_is_the_embedding():
    lines, suggestion = only(LLAMA, OURS | {"head/kernel": (D, V)})
    line = next(line for line in lines if "head/kernel" in line)
    assert "copy: true" in line
    assert "{transpose: [1, 0]}" in line
    assert "the checkpoint has no head" in suggestion.text


def test_a_head_that_only_the_checkpoint_has_is_dropped_if_it_is_the_embedding():
    lines, _ = only(LLAMA | {"lm_head/weight": (V, D)}, OURS)
    assert '- drop: {from: "lm_head/weight", assert: {equal: model/embed_tokens/weight}}' in lines


def test_a_head_of_other_classes_is_not_dropped():
    suggestion = suggested(LLAMA | {"classifier/weight": (5, D)}, OURS)
    assert (("classifier", "weight"),) == suggestion.unplaced_sources


def test_buffers_of_torch_are_dropped():
    buffers = {f"model/layers/{i}/self_attn/rotary_emb/inv_freq": (8,) for i in range(2)}
    lines, _ = only(LLAMA | buffers, OURS)
    assert '- drop: "model/layers/{i}/self_attn/rotary_emb/**"' in lines


MAXTEXT_BLOCK = {"self_attention/query/kernel": (D, HEADS, SIZE), "self_attention/key/kernel": (D, GROUPS, SIZE)}
MAXTEXT = blocks("decoder/layers_{i}/", MAXTEXT_BLOCK) | {"decoder/decoder_norm/scale": (D,)}
TO_MAXTEXT = blocks("model/layers/{i}/", {f"self_attn/{p}_proj/weight": ATTENTION[p] for p in "qk"}) | {
    "model/norm/weight": (D,)
}


def test_queries_in_maxtext_are_scaled_unless_they_have_a_norm_and_this_is_in_doubt():
    lines, suggestion = only(TO_MAXTEXT, MAXTEXT)
    assert '{scale: {by: "1/sqrt(16)"}}' in "".join(lines)
    assert "or: the numbers unchanged" in suggestion.text
    assert "or: for `rope_type: llama3.1`" in suggestion.text
    norms = blocks("model/layers/{i}/", {f"self_attn/{p}_norm/weight": (SIZE,) for p in "qk"})
    theirs = blocks("decoder/layers_{i}/", {f"self_attention/{p}_norm/scale": (SIZE,) for p in ("query", "key")})
    lines, suggestion = only(TO_MAXTEXT | norms, MAXTEXT | theirs)
    assert "scale" not in "".join(line for line in lines if "q_proj" in line)
    assert {} == suggestion.doubts


def test_biases_of_queries_are_scaled_with_them():
    old = blocks("model/layers/{i}/", {"self_attn/q_proj/bias": (HEADS * SIZE,)}) | TO_MAXTEXT
    new = blocks("decoder/layers_{i}/", {"self_attention/query/bias": (HEADS, SIZE)}) | MAXTEXT
    lines, _ = only(old, new)
    assert 2 == "".join(lines).count('{scale: {by: "1/sqrt(16)"}}')


def test_numbers_of_maxtext_lead_back():
    torchless = blocks("layers/{i}/", {"attn/q_proj/w": (D, HEADS, SIZE), "attn/k_proj/w": (D, GROUPS, SIZE)})
    lines, _ = only(MAXTEXT, torchless | {"final_norm/w": (D,)})
    assert '{scale: {by: "sqrt(16)"}}' in "".join(lines)


def test_a_vocabulary_is_padded_for_maxtext():
    old = TO_MAXTEXT | {"model/embed_tokens/weight": (V, D)}
    lines, suggestion = only(old, MAXTEXT | {"token_embedder/embedding": (64, D)})
    assert "{pad: {widths: [[0, 14], [0, 0]]}}" in "".join(lines)
    assert ("model", "embed_tokens", "weight") in suggestion.doubts


def test_an_array_with_an_unknown_name_is_in_doubt_where_others_have_its_size():
    suggestion = suggested(LLAMA | {"extra/weight": (D,)}, OURS | {"other/scale": (D,)})
    assert "unproved: its name is not known, and other arrays have its size" in suggestion.text


def test_layers_of_different_shapes_are_left_to_shapes_and_names():
    wide = {f"model/layers/{i}/mlp/up_proj/weight": (F + i, D) for i in range(2)}
    new = {f"blocks/{i}/mlp/up/kernel": (D, F + i) for i in range(2)}
    only(wide, new)


def test_two_towers_correspond_by_their_names():
    old = {f"{t}_model/encoder/layers/{i}/mlp/fc1/weight": (F, D) for t in ("text", "vision") for i in range(2)}
    new = {f"{t}/blocks/{i}/up/kernel": (D, F) for t in ("vision", "text") for i in range(2)}
    _, suggestion = only(old, new)
    assert "text/blocks/1/up/kernel" == moves(suggestion)["text_model/encoder/layers/1/mlp/fc1/weight"]


def test_models_of_linen_and_nnx_are_matched_as_before():
    names = {"attention/query/kernel": (D, D), "attention/key/kernel": (D, D)}
    suggestion = suggested(blocks("params/layers_{i}/", names), blocks("layers/{i}/", names))
    assert "known names" not in suggestion.text


@pytest.mark.matrix
def test_ten_thousand_leaves_take_seconds():
    old = TORCH | blocks("model/layers/{i}/", TORCH_ATTENTION | TORCH_MLP | TORCH_NORMS, count=1100)
    new = NNX | blocks("blocks/{i}/", NNX_ATTENTION | NNX_MLP | NNX_NORMS, count=1100)
    suggested({"a": (1,)}, {"b": (1,)})  # so that the timing excludes imports
    start = time.process_time()
    suggestion = suggested(old, new)
    assert suggestion.plan.applicable
    assert time.process_time() - start < 25  # 5 s on an idle machine
