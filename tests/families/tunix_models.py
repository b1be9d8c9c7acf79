"""tunix' side: the model that a config of Hugging Face describes, as a template, and its logits."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from tunix.models.gemma import model as gemma
from tunix.models.gemma3 import model as gemma3
from tunix.models.llama3 import model as llama3
from tunix.models.qwen2 import model as qwen2
from tunix.models.qwen3 import model as qwen3

from tests.families.rows import ROWS


def make(row: str) -> nnx.Module | dict[str, Any]:
    """Returns tunix' model of a row, with initial params in the row's dtype, and its optimizer if it is trained."""
    chosen = next(one for one in ROWS if one.name == row)
    model = _MODELS[chosen.family](chosen.config, tied=chosen.tied)
    params = jax.tree.map(lambda array: array.astype(chosen.dtype), nnx.state(model))
    nnx.update(model, params)
    if chosen.trained:
        return {"model": model, "optimizer": nnx.Optimizer(model, optax.adamw(lambda _: 1e-3), wrt=nnx.Param)}
    return model


def logits(model: nnx.Module, input_ids: Any) -> jax.Array:
    """Returns the logits of tokens of shape (batch, length), computed in float32."""
    nnx.update(model, jax.tree.map(lambda array: array.astype(jnp.float32), nnx.state(model)))
    batch, length = input_ids.shape
    positions = jnp.broadcast_to(jnp.arange(length), (batch, length))
    mask = jnp.broadcast_to(jnp.tril(jnp.ones((length, length), bool)), (batch, length, length))
    result, _ = model(jnp.asarray(input_ids), positions, None, mask)
    return result


def _sizes(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the sizes that all of tunix' configs have."""
    return {
        "num_layers": config["num_hidden_layers"],
        "embed_dim": config["hidden_size"],
        "hidden_dim": config.get("moe_intermediate_size", config["intermediate_size"]),
        "num_heads": config["num_attention_heads"],
        "num_kv_heads": config["num_key_value_heads"],
        "head_dim": config["head_dim"],
    }


def _decoder(config: dict[str, Any]) -> dict[str, Any]:
    return _sizes(config) | {
        "vocab_size": config["vocab_size"],
        "rope_theta": int(config["rope_parameters"]["rope_theta"]),
        "norm_eps": config.get("rms_norm_eps", 1e-6),
    }


def _llama3(config: dict[str, Any], *, tied: bool) -> nnx.Module:
    return llama3.Llama3(llama3.ModelConfig(**_decoder(config), weight_tying=tied), rngs=nnx.Rngs(0))


def _qwen2(config: dict[str, Any], *, tied: bool) -> nnx.Module:
    return qwen2.Qwen2(qwen2.ModelConfig(**_decoder(config), use_tied_embedding=tied), rngs=nnx.Rngs(0))


def _qwen3(config: dict[str, Any], *, tied: bool) -> nnx.Module:
    experts = {name: config.get(name) for name in ("num_experts", "num_experts_per_tok")}
    return qwen3.Qwen3(qwen3.ModelConfig(**_decoder(config), **experts, use_tied_embedding=tied), rngs=nnx.Rngs(0))


def _gemma(config: dict[str, Any], *, tied: bool, second: bool = False) -> nnx.Module:
    assert tied
    kinds = (gemma.AttentionType.LOCAL_SLIDING, gemma.AttentionType.GLOBAL)
    made = gemma.ModelConfig(
        **_sizes(config),
        num_embed=config["vocab_size"],
        final_logit_softcap=30.0 if second else None,
        attn_logits_soft_cap=50.0 if second else None,
        use_post_attn_norm=second,
        use_post_ffw_norm=second,
        attention_types=[kinds[i % 2] if second else kinds[1] for i in range(config["num_hidden_layers"])],
        sliding_window_size=config.get("sliding_window"),
    )
    return gemma.Gemma(made, rngs=nnx.Rngs(0))


def _gemma2(config: dict[str, Any], *, tied: bool) -> nnx.Module:
    return _gemma(config, tied=tied, second=True)


def _gemma3(config: dict[str, Any], *, tied: bool) -> nnx.Module:
    assert tied
    made = gemma3.ModelConfig(
        **_sizes(config),
        num_embed=config["vocab_size"],
        sliding_window_size=config["sliding_window"],
        local_base_frequency=10_000,
        global_base_frequency=1_000_000,
        param_dtype=jnp.float32,
    )
    return gemma3.Gemma3(made, rngs=nnx.Rngs(0))


_MODELS = {
    "llama": _llama3,
    "mistral": _llama3,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "qwen3_moe": _qwen3,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
}
"""tunix' model for each type of transformers."""
