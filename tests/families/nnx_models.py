"""The models of `fixtures/models` as the other side: a row's model, and what it computes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from fixtures.models import bert, bonsai_vit, clip, gpt2, llama, t5, vit, whisper
from tests.families.rows import ROWS, Row

GPT2 = gpt2.Config(vocabulary=97, length=16, features=48, heads=6)
LLAMA = llama.Config(vocabulary=97, features=48, hidden=72, heads=6)


def make(row: str) -> nnx.Module:
    """Returns the model of a row, with initial params in the row's dtype."""
    chosen = next(one for one in ROWS if one.name == row)
    model = _made(chosen)
    nnx.update(model, jax.tree.map(lambda array: array.astype(chosen.dtype), nnx.state(model)))
    return model


def _made(row: Row) -> nnx.Module:
    rngs = nnx.Rngs(0)
    if row.family == "gpt2":
        return gpt2.GPT2(GPT2, rngs)
    if row.family == "llama":
        return llama.Llama(LLAMA, rngs, tied=row.tied)
    if row.family == "bert":
        return bert.Bert(replace(bert.Config(), pretraining=row.variant == "pretraining"), rngs)
    if row.family == "t5":
        gated = row.variant == "gated"
        return t5.T5(replace(t5.Config(), gated=gated, scaled=not gated), rngs)
    if row.rules == "bonsai/vit":
        return bonsai_vit.ViT(vit.Config(), rngs)
    make, config = {
        "clip": (clip.CLIP, clip.Config()),
        "vit": (vit.ViT, vit.Config()),
        "whisper": (whisper.Whisper, whisper.Config()),
    }[row.family]
    return make(config, rngs)


def logits(model: nnx.Module, **inputs: Any) -> jax.Array:
    """Returns the outputs of a model for the inputs of Hugging Face's, computed in float32."""
    nnx.update(model, jax.tree.map(lambda array: array.astype(jnp.float32), nnx.state(model)))
    order = ("input_ids", "decoder_input_ids", "token_type_ids", "pixel_values", "input_features")
    arrays = [jnp.asarray(_last(name, inputs[name])) for name in order if name in inputs]
    result = model(*arrays)
    return jnp.concatenate([part.ravel() for part in result]) if isinstance(result, tuple) else result


def _last(name: str, array: Any) -> Any:
    """Returns images and spectrograms with their channels last."""
    if name == "input_features":
        return array.transpose(0, 2, 1)
    return array.transpose(0, 2, 3, 1) if name == "pixel_values" else array
