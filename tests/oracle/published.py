"""Forward passes of published architectures in NumPy, written from their formulas on the names that checkpoints have.

They share no code with the NNX models, and know nothing of Flax: what they say is what the weights mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import pi, sqrt

import numpy as np

Weights = Mapping[str, np.ndarray]


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))


def rms_norm(x: np.ndarray, scale: np.ndarray, epsilon: float) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * scale


def causal_mixture(scores: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Softmax over the past, for one head."""
    masked = np.where(np.tril(np.ones(scores.shape, bool)), scores, -np.inf)
    return softmax(masked) @ v


def gpt2(w: Weights, tokens: np.ndarray, heads: int) -> np.ndarray:
    """Logits for one row of tokens; names as `GPT2Model` of Hugging Face has them."""

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centered = x - x.mean(-1, keepdims=True)
        spread = np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)
        return centered / spread * w[f"{name}.weight"] + w[f"{name}.bias"]

    def conv1d(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["wte.weight"][tokens] + w["wpe.weight"][: len(tokens)]
    for i in range(len({name.split(".")[1] for name in w if name.startswith("h.")})):
        q, k, v = np.split(conv1d(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn"), 3, axis=-1)
        size = q.shape[-1] // heads
        parts = [slice(n * size, (n + 1) * size) for n in range(heads)]
        mixed = [causal_mixture(q[:, p] @ k[:, p].T / sqrt(size), v[:, p]) for p in parts]
        x = x + conv1d(np.hstack(mixed), f"h.{i}.attn.c_proj")
        hidden = gelu(conv1d(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc"))
        x = x + conv1d(hidden, f"h.{i}.mlp.c_proj")
    return norm(x, "ln_f") @ w["wte.weight"].T


def rotated(x: np.ndarray, theta: float) -> np.ndarray:
    """Positions turned into angles, as complex numbers: feature j goes with feature j + size / 2."""
    half = x.shape[-1] // 2
    turns = np.exp(1j * np.outer(np.arange(len(x)), theta ** (-np.arange(half) / half)))
    turned = (x[:, :half] + 1j * x[:, half:]) * turns
    return np.hstack([turned.real, turned.imag])


def llama(w: Weights, tokens: np.ndarray, heads: int, theta: float, epsilon: float) -> np.ndarray:
    """Logits for one row of tokens; names as `LlamaForCausalLM` of Hugging Face has them. Matrices are [out, in]."""
    x = w["model.embed_tokens.weight"][tokens]
    size = x.shape[-1] // heads
    for i in range(len({name.split(".")[2] for name in w if name.startswith("model.layers.")})):
        at = f"model.layers.{i}"
        y = rms_norm(x, w[f"{at}.input_layernorm.weight"], epsilon)
        q, k, v = (y @ w[f"{at}.self_attn.{n}_proj.weight"].T for n in "qkv")
        shared = q.shape[-1] // k.shape[-1]
        mixed = []
        for head in range(heads):
            own, group = slice(head * size, (head + 1) * size), head // shared
            lent = slice(group * size, (group + 1) * size)
            scores = rotated(q[:, own], theta) @ rotated(k[:, lent], theta).T / sqrt(size)
            mixed.append(causal_mixture(scores, v[:, lent]))
        x = x + np.hstack(mixed) @ w[f"{at}.self_attn.o_proj.weight"].T
        y = rms_norm(x, w[f"{at}.post_attention_layernorm.weight"], epsilon)
        gate, up = (y @ w[f"{at}.mlp.{n}_proj.weight"].T for n in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[f"{at}.mlp.down_proj.weight"].T
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    return rms_norm(x, w["model.norm.weight"], epsilon) @ head.T


def t5x_decoder(w: Weights, tokens: np.ndarray, heads: int) -> np.ndarray:
    """Logits for one row of tokens; names as T5X has them below `target`, layers apart."""
    x = w["token_embedder/embedding"][tokens]
    bias = w["decoder/relpos_bias/rel_embedding"]
    distance = np.subtract.outer(np.arange(len(tokens)), np.arange(len(tokens))).clip(0, bias.shape[1] - 1)
    for i in range(len({name.split("/")[1] for name in w if "/layers_" in name})):
        at = f"decoder/layers_{i}"
        y = rms_norm(x, w[f"{at}/pre_self_attention_layer_norm/scale"], 1e-6)
        q, k, v = (y @ w[f"{at}/self_attention/{n}/kernel"] for n in ("query", "key", "value"))
        size = q.shape[-1] // heads
        parts = [slice(n * size, (n + 1) * size) for n in range(heads)]
        mixed = [causal_mixture(q[:, p] @ k[:, p].T + bias[n][distance], v[:, p]) for n, p in enumerate(parts)]
        x = x + np.hstack(mixed) @ w[f"{at}/self_attention/out/kernel"]
        y = rms_norm(x, w[f"{at}/pre_mlp_layer_norm/scale"], 1e-6)
        hidden = gelu(y @ w[f"{at}/mlp/wi_0/kernel"]) * (y @ w[f"{at}/mlp/wi_1/kernel"])
        x = x + hidden @ w[f"{at}/mlp/wo/kernel"]
    return rms_norm(x, w["decoder/decoder_norm/scale"], 1e-6) @ w["decoder/logits_dense/kernel"]
