"""Names of the layers of transformers in Hugging Face, MaxText, tunix, T5X and common NNX models, by meaning.

One line is one meaning. Names are compared in lower case and without underscores. `/` joins the names of a module and
of a module inside it. The module around a name decides between meanings that share it: `wo` and `c_proj` of an
attention are not those of an MLP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Place = Literal["attention", "mlp", "model"]
"""A kind of module: an attention, an MLP, or the model outside of its blocks."""

Axes = Literal["heads in", "heads out", "qkv", "kv", "matrix", "gate and up", "table", "vector", "patches", "relative"]
"""The axes of the arrays of a layer, by which `WEIGHTS` and `BIASES` list them."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """A layer of a transformer.

    Attributes:
      name: the name of the meaning.
      place: the module around it.
      axes: the axes of its arrays.
      names: its names.
    """

    name: str
    place: Place
    axes: Axes
    names: tuple[str, ...]


def _meaning(name: str, place: Place, axes: Axes, names: str) -> Meaning:
    return Meaning(name, place, axes, tuple(map(plain, names.split())))


def plain(name: str) -> str:
    """Returns a name in the form in which names are compared."""
    return name.replace("_", "").lower()


MEANINGS: tuple[Meaning, ...] = (
    _meaning("query", "attention", "heads in", "q query q_proj query_proj wq to_q q_einsum q_lin"),
    _meaning("key", "attention", "heads in", "k key k_proj key_proj wk to_k k_einsum k_lin"),
    _meaning("value", "attention", "heads in", "v value v_proj value_proj wv to_v v_einsum v_lin"),
    _meaning("query, key, value", "attention", "qkv", "c_attn qkv qkv_proj qkv_einsum wqkv query_key_value in_proj"),
    _meaning("key, value", "attention", "kv", "kv kv_proj kv_einsum wkv"),
    _meaning(
        "output", "attention", "heads out", "o out o_proj out_proj wo attn_vec_einsum output/dense c_proj proj to_out"
    ),
    _meaning("query norm", "attention", "vector", "q_norm query_norm query_ln q_layernorm q_ln"),
    _meaning("key norm", "attention", "vector", "k_norm key_norm key_ln k_layernorm k_ln"),
    _meaning("gate", "mlp", "matrix", "gate gate_proj wi_0 w1"),
    _meaning("up", "mlp", "matrix", "up up_proj wi_1 w3 wi fc1 c_fc intermediate/dense lin1 linear1 fc_in"),
    _meaning("down", "mlp", "matrix", "down down_proj wo w2 fc2 c_proj output/dense lin2 linear2 linear fc_out"),
    _meaning("gate, up", "mlp", "gate and up", "gating_einsum gate_up_proj gate_up wi_fused w13"),
    _meaning("router", "mlp", "matrix", "router gate router/dense router_gate"),
    _meaning("embedding", "model", "table", "embed_tokens token_embedder embedder wte shared word_embeddings"),
    _meaning("embedding", "model", "table", "token_embedding tok_embeddings embed words tokens token_embed embedding"),
    _meaning("positions", "model", "table", "wpe position_embeddings position_embedding positions pos_embedding"),
    _meaning("positions", "model", "table", "embed_positions pos_embed pos_embeddings position_embed"),
    _meaning("types", "model", "table", "token_type_embeddings type_embeddings types segment_embeddings"),
    _meaning("relative positions", "model", "relative", "relative_attention_bias relpos_bias rel_embedding"),
    _meaning("relative positions", "model", "relative", "relative_bias rel_bias bias"),
    _meaning("class token", "model", "vector", "cls_token class_token class_embedding cls"),
    _meaning("patches", "model", "patches", "patch_embeddings/projection patch_embedding patch_embed patches"),
    _meaning("patches", "model", "patches", "pos_embeddings/projection"),
    _meaning("first convolution", "model", "patches", "conv1"),
    _meaning("second convolution", "model", "patches", "conv2"),
    _meaning("head", "model", "matrix", "lm_head logits_dense head classifier output_projection"),
    _meaning("pooler", "model", "matrix", "pooler/dense pooler"),
    _meaning("transform", "model", "matrix", "transform/dense transform"),
    _meaning("transform norm", "model", "vector", "transform/layernorm transform_norm"),
)
"""The meanings, in the order in which names that have several are tried."""

SPLIT: Mapping[str, tuple[str, ...]] = {
    "query, key, value": ("query", "key", "value"),
    "key, value": ("key", "value"),
    "gate, up": ("gate", "up"),
}
"""Layers that are the fusion of others, in the order in which the others are joined."""

ROUTER_OR_GATE = "gate"
"""The name of a router beside the gates of experts, and of a gate elsewhere."""


@dataclass(frozen=True, slots=True)
class NormPosition:
    """A position of a norm in a block, or in the model around the blocks.

    Attributes:
      rank: the order of the positions, in which the norms of a block are compared.
      place: `block`, or `model` for norms around the blocks.
      names: the names of norms at this position.
    """

    rank: float
    place: str
    names: tuple[str, ...]


def _norm(rank: float, place: str, names: str) -> NormPosition:
    return NormPosition(rank, place, tuple(map(plain, names.split())))


BEFORE_ATTENTION, OF_ATTENTION, AFTER_ATTENTION = 1.0, 1.5, 2.0
OF_CROSS, BEFORE_MLP, OF_MLP, AFTER_MLP = 3.0, 4.0, 4.5, 5.0

NORMS: tuple[NormPosition, ...] = (
    _norm(BEFORE_ATTENTION, "block", "input_layernorm pre_attention_norm pre_self_attention_norm ln_1 norm1"),
    _norm(BEFORE_ATTENTION, "block", "pre_self_attention_layer_norm pre_attention_layer_norm layernorm_before"),
    _norm(BEFORE_ATTENTION, "block", "layer_norm1 input_norm"),
    _norm(OF_ATTENTION, "block", "attention_norm attn_norm self_attn_layer_norm attention_layer_norm attention_ln"),
    _norm(AFTER_ATTENTION, "block", "post_attention_layernorm post_self_attention_layer_norm post_attention_norm"),
    _norm(AFTER_ATTENTION, "block", "post_self_attention_norm post_attn_norm attention/output/layernorm"),
    _norm(OF_CROSS, "block", "cross_norm pre_cross_attention_layer_norm encoder_attn_layer_norm cross_attention_norm"),
    _norm(BEFORE_MLP, "block", "pre_feedforward_layernorm pre_ffw_norm pre_mlp_layer_norm pre_mlp_norm"),
    _norm(BEFORE_MLP, "block", "layernorm_after ln_2 norm2 layer_norm2"),
    _norm(OF_MLP, "block", "mlp_norm ffn_norm feed_forward_norm mlp_layer_norm mlp_ln"),
    _norm(AFTER_MLP, "block", "post_feedforward_layernorm post_ffw_norm output/layernorm final_layer_norm"),
    _norm(AFTER_MLP, "block", "norm norm3 ln_3 ln layer_norm"),
    _norm(1.0, "model", "embeddings/layernorm embeddings/norm pre_layrnorm pre_layernorm ln_pre norm1"),
    _norm(9.0, "model", "norm ln ln_f final_norm decoder_norm encoder_norm final_layer_norm post_layernorm layernorm"),
    _norm(9.0, "model", "ln_post norm2 ln_final model_norm"),
)
"""Norms, by where they are: before, in or after the attention and the MLP of a block, and around all blocks."""

SUBLAYER_NORMS = frozenset(map(plain, ("layer_norm", "norm", "ln", "rms_norm")))
"""Names of a norm that stands beside an attention or an MLP in a module of its own, as in T5."""

SUBLAYERS: Mapping[str, float] = {"attention": OF_ATTENTION, "cross": OF_CROSS, "mlp": OF_MLP}
"""The positions of such norms."""

CONTEXTS: Mapping[str, str] = {
    plain(name): place
    for place, names in {
        "attention": "self_attn attn attention self_attention SelfAttention",
        "cross": "EncDecAttention cross cross_attn encoder_attn cross_attention encoder_decoder_attention",
        "mlp": "mlp ffn feed_forward DenseReluDense block_sparse_moe moe moe_block MoeBlock_0 mlp_block ff ffw",
    }.items()
    for name in names.split()
}
"""Names of modules, and the place that they are."""

BLOCKS = frozenset(map(plain, ["layers", "layer", "blocks", "block", "h", "resblocks", "encoderblock", "decoderblock"]))
"""Names of the list of blocks."""

EXPERTS = frozenset(map(plain, ("experts", "expert")))
"""Names of the list of experts of an MLP."""

KINDS_OF_BLOCK: tuple[tuple[str, ...], ...] = (("local", "global"),)
"""Ends of names in a block that consists of several layers, in the order of these layers."""

REMAINDER = "layers_remainder"
"""MaxText's list of the last layers, which are fewer than the layers of a block."""

ARRAYS: Mapping[str, str] = {
    **dict.fromkeys(("weight", "kernel", "w", "scale", "embedding", "input_embedding", "gamma", "weights"), "weight"),
    **dict.fromkeys(("bias", "b", "beta"), "bias"),
}
"""Names of arrays, and the array of the layer that they are."""

TORCH_ARRAY = "weight"
"""The name of PyTorch's arrays, whose matrices are [out, in]."""

WEIGHTS: Mapping[Axes, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "heads in": (("(n h) d",), ("d n h", "n d h", "d (n h)")),
    "heads out": (("d (n h)",), ("n h d", "(n h) d")),
    "qkv": (("(p n h) d",), ("p n d h", "p d n h", "d (p n h)", "d p n h")),
    "kv": (("(p n h) d",), ("p n d h", "p d n h", "d (p n h)")),
    "matrix": (("o i",), ("i o",)),
    "gate and up": (("(p o) i",), ("p i o", "p o i", "i (p o)")),
    "table": (("v d", "1 v d"), ("v d", "1 v d")),
    "relative": (("b n",), ("b n",)),
    "vector": (("d", "1 1 d"), ("d", "1 1 d")),
    "patches": (("o i x y", "o i x"), ("x y i o", "x i o")),
}
"""The axes of weights: those of PyTorch, and those of JAX, the most usual first. `p` are the parts of a fusion."""

BIASES: Mapping[Axes, tuple[str, ...]] = {
    "heads in": ("n h", "(n h)"),
    "heads out": ("d",),
    "qkv": ("p n h", "(p n h)"),
    "kv": ("p n h", "(p n h)"),
    "matrix": ("o",),
    "gate and up": ("p o", "(p o)"),
    "table": ("v",),
    "relative": ("b",),
    "vector": ("d",),
    "patches": ("o",),
}
"""The axes of biases in either."""

STORED_AS_JAX_DOES = frozenset(map(plain, ("c_attn", "c_proj", "c_fc")))
"""Layers of GPT-2, whose matrices are [in, out] as Hugging Face has them, and [out, in] in other copies."""

BUFFERS: tuple[str, ...] = (
    "**/rotary_emb/inv_freq",
    "**/attn/masked_bias",
    "**/position_ids",
    "**/num_batches_tracked",
)
"""Arrays that PyTorch's modules store and compute themselves."""

MAXTEXT = frozenset({"token_embedder", "logits_dense", "decoder_norm"})
"""Names outside of the blocks that only MaxText uses."""


@dataclass(frozen=True, slots=True)
class Convention:
    """Numbers that MaxText stores otherwise than Hugging Face and tunix.

    Attributes:
      meanings: the layers, by meaning.
      there, back: the op to MaxText and the op from it, with the sizes of axes in braces.
      beside: a name in MaxText's tree without which it does not apply; empty for none.
      without: a meaning beside which it does not apply; empty for none.
      why: the reason, as a sentence without its full stop.
    """

    meanings: frozenset[str]
    there: str
    back: str
    beside: str
    without: str
    why: str


GEMMA_NORM = "pre_self_attention_norm"
"""The beginning of the name of a norm in MaxText's models of Gemma."""

CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        frozenset({"query"}),
        'scale: {{by: "1/sqrt({h})"}}',
        'scale: {{by: "sqrt({h})"}}',
        "",
        "query norm",
        "MaxText stores queries divided by sqrt(head_dim) in models that do not normalize them",
    ),
    Convention(
        frozenset({"norm", "query norm", "key norm"}),
        "add: 1",
        "add: -1",
        GEMMA_NORM,
        "",
        "MaxText stores the norms of Gemma with the 1 that others add to them",
    ),
    Convention(
        frozenset({"embedding"}),
        'scale: {{by: "sqrt({d})"}}',
        'scale: {{by: "1/sqrt({d})"}}',
        GEMMA_NORM,
        "",
        "MaxText stores the embedding of Gemma times sqrt(width)",
    ),
)
"""The conventions. `beside` is compared with the beginnings of names."""

INTERLEAVED = frozenset({"query", "key"})
"""Layers whose features MaxText stores interleaved if its `rope_type` is `llama3.1`."""

FOREIGN = MAXTEXT | {"input_embedding", "q_einsum", "kv_einsum", "qkv_einsum", "attn_vec_einsum", "gating_einsum"}
"""Names that MaxText or tunix use, and models of Linen and NNX do not."""
