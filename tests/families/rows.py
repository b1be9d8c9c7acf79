"""The rows of the table: a model of a family, the rule file that moves it, and the library on the other side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LENGTH = 11
"""The number of tokens of an input; more than every sliding window below."""

VOCABULARY = 97

SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
}
"""A config of Hugging Face's decoders: grouped heads, and heads times their size are not the width."""

MILLION = {"rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0}}
"""The only rotation that tunix' Llama3 and Qwen3 compute."""

THOUSANDS = {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}}

LLAMA31 = {
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
}

MIXTRAL = SMALL | MILLION | {
    "intermediate_size": 24,
    "num_local_experts": 12,
    "num_experts_per_tok": 2,
    "rms_norm_eps": 1e-6,
}  # fmt: skip

QWEN2 = SMALL | {"hidden_size": 96} | MILLION
"""Qwen 2 has no `head_dim`: it is the width divided by the heads."""

MOE = SMALL | MILLION | {
    "num_experts": 12,  # two digits: `10` comes after `9`
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 24,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
}  # fmt: skip

GEMMA = SMALL | {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}, "query_pre_attn_scalar": 16}

GEMMA2 = GEMMA | {"sliding_window": 5, "num_hidden_layers": 4}

GEMMA3 = SMALL | {
    "num_hidden_layers": 6,  # the sixth layer is the first global one
    "query_pre_attn_scalar": 16,
    "sliding_window": 5,
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        "full_attention": {"rope_type": "default", "rope_theta": 1_000_000.0},
    },
}

GPT2 = {
    "vocab_size": VOCABULARY,
    "n_positions": 16,
    "n_embd": 48,
    "n_layer": 2,
    "n_head": 6,
    "bos_token_id": 0,
    "eos_token_id": 0,
}

BERT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "max_position_embeddings": 16,
}

T5 = {
    "vocab_size": VOCABULARY,
    "d_model": 48,
    "d_kv": 16,
    "d_ff": 72,
    "num_layers": 2,
    "num_heads": 6,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}

TOWER = {"intermediate_size": 72, "num_hidden_layers": 2, "projection_dim": 32}
IMAGE = {"image_size": 12, "patch_size": 4}
CLIP = {
    "text_config": TOWER | {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "num_attention_heads": 6,
        "max_position_embeddings": 16,
        "bos_token_id": 0,
        "eos_token_id": 2,  # stands for the highest token
    },
    "vision_config": TOWER | IMAGE | {"hidden_size": 56, "num_attention_heads": 7},
    "projection_dim": 32,
}  # fmt: skip

VIT = IMAGE | {
    "hidden_size": 48,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_labels": 5,
}

WHISPER = {
    "vocab_size": VOCABULARY,
    "num_mel_bins": 8,
    "d_model": 48,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 6,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 72,
    "decoder_ffn_dim": 72,
    "max_source_positions": 8,
    "max_target_positions": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "decoder_start_token_id": 1,
    "begin_suppress_tokens": None,
}

NARROW_GEMMA3 = GEMMA3 | {
    "num_hidden_layers": 13,  # two groups of six that MaxText scans, and a rest
    "hidden_size": 24,
    "intermediate_size": 12,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "query_pre_attn_scalar": 8,
}  # fmt: skip
"""A smaller one, which is kept in float32."""

UNSCALED31 = {"rope_parameters": LLAMA31["rope_parameters"] | {"rope_theta": 1_000_000.0, "factor": 1.0}}
"""Features are interleaved in MaxText, and frequencies stay, which is what tunix can compute."""


@dataclass(frozen=True, slots=True)
class Row:
    """One model and its way to the other library and back.

    Attributes:
      rules: the bundled rule file.
      family: transformers' name of the model's type.
      config: the config of the model.
      other: the library on the other side: `tunix`, `maxtext`, or `nnx` (the models of `fixtures/models`).
      variant: what distinguishes the row from others of the family, such as `tied`.
      tied: whether the embedding is the head.
      dtype: the dtype of the checkpoint.
      golden: whether the row is kept in `fixtures/families`.
      args: the arguments of the rule file that the model's configuration does not state.
      rounds: whether the rules compute new numbers, so that the way back is exact to rounding.
      trained: whether the source is a training state of MaxText, with Adam's moments.
    """

    rules: str
    family: str
    config: dict[str, Any] = field(hash=False)
    other: str = "tunix"
    variant: str = ""
    tied: bool = False
    dtype: str = "float32"
    golden: bool = False
    args: dict[str, int] = field(default_factory=dict, hash=False)
    trained: bool = False
    rounds: bool = False

    @property
    def name(self) -> str:
        """The row's name, and that of its folder in `fixtures/families`."""
        parts = [self.rules.replace("/", "-"), self.variant, "tied" if self.tied else "", self.dtype]
        return "-".join(part for part in parts if part).replace(" ", "-").lower()


def _both(rules: str, family: str, config: dict[str, Any], **more: Any) -> list[Row]:
    """Returns the rows of a family with a head of its own and without."""
    return [
        Row(rules, family, config, **more),
        Row(rules, family, config, dtype="bfloat16", golden=True, **more),
        Row(rules, family, config, tied=True, **more),
        Row(rules, family, config, tied=True, dtype="bfloat16", **more),
    ]


def _tied(rules: str, family: str, config: dict[str, Any], **more: Any) -> list[Row]:
    """Returns the rows of a family whose head is always the embedding."""
    return [
        Row(rules, family, config, tied=True, **more),
        Row(rules, family, config, tied=True, dtype="bfloat16", golden=True, **more),
    ]


def _maxtext_gemma(rules: str, family: str, config: dict[str, Any], args: dict[str, int]) -> Row:
    """Returns the row of a Gemma against MaxText, whose params are rounded on the way."""
    return Row(
        rules,
        family,
        config,
        other="maxtext",
        tied=True,
        golden=True,
        rounds=True,
        args=args,
    )


def _maxtext(rules: str, family: str, config: dict[str, Any]) -> list[Row]:
    """Returns the rows of a family against MaxText, with scanned layers and without."""
    return [
        Row(rules, family, config, other="maxtext", dtype="bfloat16", golden=True),
        Row(rules, family, config, other="maxtext", tied=True),
        Row(f"{rules}-unscanned", family, config, other="maxtext", dtype="bfloat16", golden=True),
    ]


def _trained(rules: str, family: str, config: dict[str, Any], **more: Any) -> Row:
    """Returns the row of a family between MaxText and tunix."""
    return Row(rules, family, config, variant="with Adam", trained=True, golden=True, **more)


def _ours(rules: str, family: str, config: dict[str, Any], **more: Any) -> list[Row]:
    """Returns the rows of a family against a model of `fixtures/models`."""
    return [
        Row(rules, family, config, other="nnx", **more),
        Row(rules, family, config, other="nnx", dtype="bfloat16", golden=True, **more),
    ]


ROWS = [
    *_both("hf/llama", "llama", SMALL | MILLION | {"rms_norm_eps": 1e-5}),
    *_both("hf/mistral", "mistral", SMALL | MILLION | {"sliding_window": None}),
    *_both("hf/qwen2", "qwen2", QWEN2),
    *_both("hf/qwen3", "qwen3", SMALL | MILLION),
    *_both("hf/qwen3-moe", "qwen3_moe", MOE),
    *_tied("hf/gemma", "gemma", GEMMA),
    *_tied("hf/gemma-qkv", "gemma", GEMMA | {"num_key_value_heads": 6}),
    *_tied("hf/gemma2", "gemma2", GEMMA2),
    *_tied("hf/gemma3", "gemma3_text", GEMMA3),
    *_maxtext("maxtext/llama", "llama", SMALL | THOUSANDS),
    *_maxtext("maxtext/llama3-1", "llama", SMALL | LLAMA31),
    *_maxtext("maxtext/mixtral", "mixtral", MIXTRAL),
    _maxtext_gemma("maxtext/gemma2", "gemma2", GEMMA2, {"padding": 31}),
    _maxtext_gemma("maxtext/gemma2-unscanned", "gemma2", GEMMA2, {"padding": 0}),
    _maxtext_gemma("maxtext/gemma3", "gemma3_text", NARROW_GEMMA3, {"padding": 7}),
    _maxtext_gemma("maxtext/gemma3-unscanned", "gemma3_text", NARROW_GEMMA3, {"padding": 0}),
    *_both("maxtext/qwen3", "qwen3", SMALL | MILLION, other="maxtext"),
    *_both("maxtext/qwen3-unscanned", "qwen3", SMALL | MILLION, other="maxtext"),
    _trained("maxtext-tunix/qwen3", "qwen3", SMALL | MILLION),
    _trained("maxtext-tunix/llama", "llama", SMALL | MILLION, rounds=True, args={"head": 16}),
    _trained("maxtext-tunix/llama3-1", "llama", SMALL | UNSCALED31, rounds=True, args={"head": 16}),
    _trained("maxtext-tunix/gemma", "gemma", GEMMA, rounds=True, tied=True, args={"head": 16, "width": 48}),
    _trained("maxtext-tunix/gemma2", "gemma2", GEMMA2, rounds=True, tied=True, args={"head": 16, "width": 48}),
    _trained(
        "maxtext-tunix/gemma3", "gemma3_text", NARROW_GEMMA3, rounds=True, tied=True, args={"width": 24, "rest": 12}
    ),
    *_both("hf/llama-to-nnx", "llama", SMALL | THOUSANDS | {"head_dim": 8, "rms_norm_eps": 1e-5}, other="nnx"),
    *_ours("hf/gpt2", "gpt2", GPT2),
    *_ours("hf/gpt2-lm", "gpt2", GPT2),
    *_ours("hf/bert", "bert", BERT),
    *_ours("hf/bert", "bert", BERT, variant="pretraining"),
    *_ours("hf/t5", "t5", T5),
    *_ours("hf/t5", "t5", T5 | GATED, variant="gated"),
    *_ours("hf/clip", "clip", CLIP),
    *_ours("hf/vit", "vit", VIT),
    *_ours("bonsai/vit", "vit", VIT | {"hidden_act": "gelu_new"}),
    *_ours("bonsai/whisper", "whisper", WHISPER),
]
