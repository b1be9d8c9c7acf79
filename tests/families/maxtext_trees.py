"""MaxText's side: its tree of params by names and shapes, and a decoder that computes what its formulas say.

MaxText itself needs Python 3.12 and many more packages, so that it does not run here.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.families import maxtext_gemma
from tests.families.rows import ROWS, Row

Array = np.ndarray[Any, Any]
Tree = dict[str, Any]
SCAN_AXIS = 1
GEMMAS = ("gemma", "gemma2", "gemma3_text")


def make(row: str) -> Tree:
    """Returns the tree of a row's model as MaxText saves it, with zeros in the row's dtype."""
    chosen = next(one for one in ROWS if one.name == row)
    params = jax.tree.map(lambda shape: jnp.zeros(shape, chosen.dtype), _tree(chosen), is_leaf=_is_shape)
    return {"params": {"params": params}}


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple)


def _tree(row: Row) -> Tree:
    config, scanned = row.config, "unscanned" not in row.rules
    if row.family in GEMMAS:
        return maxtext_gemma.shapes(config, row.family, scanned=scanned, padding=row.args.get("padding", 0))
    layers = config["num_hidden_layers"]
    layer, width, vocabulary = _layer(config, row.family), config["hidden_size"], config["vocab_size"]
    below = {f"layers_{i}": layer for i in range(layers)}
    if scanned:
        below = {"layers": jax.tree.map(lambda shape: _scanned(shape, layers), layer, is_leaf=_is_shape)}
    head = {} if row.tied else {"logits_dense": {"kernel": (width, vocabulary)}}
    return {
        "token_embedder": {"embedding": (vocabulary, width)},
        "decoder": {"decoder_norm": {"scale": (width,)}, **below, **head},
    }


def _scanned(shape: tuple[int, ...], layers: int) -> tuple[int, ...]:
    return (*shape[:SCAN_AXIS], layers, *shape[SCAN_AXIS:])


def _layer(config: dict[str, Any], family: str) -> Tree:
    """Returns the shapes of one layer."""
    d, f, h = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    n, k = config["num_attention_heads"], config["num_key_value_heads"]
    norms = {f"{part}_norm": {"scale": (h,)} for part in ("query", "key")} if family == "qwen3" else {}
    mlp = {"mlp": {"wi_0": {"kernel": (d, f)}, "wi_1": {"kernel": (d, f)}, "wo": {"kernel": (f, d)}}}
    if family == "mixtral":
        e = config["num_local_experts"]
        mlp = {"MoeBlock_0": {"gate": {"kernel": (d, e)}, "wi_0": (e, d, f), "wi_1": (e, d, f), "wo": (e, f, d)}}
    return {
        "pre_self_attention_layer_norm": {"scale": (d,)},
        "self_attention": {
            "query": {"kernel": (d, n, h)},
            "key": {"kernel": (d, k, h)},
            "value": {"kernel": (d, k, h)},
            "out": {"kernel": (n, h, d)},
            **norms,
        },
        "post_self_attention_layer_norm": {"scale": (d,)},
        **mlp,
    }


class _Rotation:
    """Rotary positions of heads: the first half of the features turns against the second.

    With the type `llama3` frequencies are scaled, and features turn against their neighbors (`rope_type: llama3.1`).
    """

    def __init__(self, rope: dict[str, Any], size: int) -> None:
        self.interleaved = rope["rope_type"] == "llama3"
        frequencies = rope["rope_theta"] ** (-np.arange(0, size, 2) / size)
        self.frequencies = _scaled(frequencies, rope) if self.interleaved else frequencies

    def __call__(self, x: Array) -> Array:
        angles = np.arange(x.shape[1])[:, None] * self.frequencies
        cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
        half = x.shape[-1] // 2
        first, second = (x[..., ::2], x[..., 1::2]) if self.interleaved else (x[..., :half], x[..., half:])
        turned = first * cos - second * sin, second * cos + first * sin
        return np.stack(turned, -1).reshape(x.shape) if self.interleaved else np.concatenate(turned, -1)


def _scaled(frequencies: Array, rope: dict[str, Any]) -> Array:
    """Returns the frequencies of Llama 3.1: slow ones divided by the factor, fast ones kept, others in between."""
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] * frequencies / (2 * np.pi)
    part = np.clip((turns - low) / (high - low), 0, 1)
    return (1 - part) * frequencies / rope["factor"] + part * frequencies


def logits(tree: Tree, input_ids: Any, config: dict[str, Any]) -> Array:
    """Returns the logits of tokens of shape (batch, length), computed by NumPy.

    Queries that have a norm are scaled; others are stored divided by the square root of a head's size.
    """
    input_ids = np.asarray(input_ids)
    params = jax.tree.map(lambda array: np.asarray(array, np.float32), tree["params"]["params"])
    if "pre_ffw_norm" in str(jax.tree_util.tree_structure(params)):
        return maxtext_gemma.logits(params, input_ids, config)
    embedding, decoder = params["token_embedder"]["embedding"], params["decoder"]
    rotation = _Rotation(config["rope_parameters"], config["head_dim"])
    x = embedding[input_ids]
    for layer in _layers(decoder):
        normed = _norm(layer["pre_self_attention_layer_norm"], x)
        x = x + _attention(layer["self_attention"], normed, rotation)
        normed = _norm(layer["post_self_attention_layer_norm"], x)
        experts = layer.get("MoeBlock_0")
        x = x + (_mlp(layer["mlp"], normed) if experts is None else _experts(experts, normed))
    x = _norm(decoder["decoder_norm"], x)
    return x @ (decoder["logits_dense"]["kernel"] if "logits_dense" in decoder else embedding.T)


def _silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def _mlp(params: Tree, x: Array) -> Array:
    gate, up, down = (params[name]["kernel"] for name in ("wi_0", "wi_1", "wo"))
    return (_silu(x @ gate) * (x @ up)) @ down


def _experts(params: Tree, x: Array) -> Array:
    """Returns the sum of the two best experts, with weights that sum up to 1."""
    chances = maxtext_gemma.softmax(x @ params["gate"]["kernel"])
    least = np.sort(chances)[..., -2:-1]
    weights = np.where(chances >= least, chances, 0)
    hidden = _silu(np.einsum("btd,edf->btef", x, params["wi_0"])) * np.einsum("btd,edf->btef", x, params["wi_1"])
    return np.einsum("btef,efd,bte->btd", hidden, params["wo"], weights / weights.sum(-1, keepdims=True))


def _layers(decoder: Tree) -> list[Tree]:
    if "layers" in decoder:
        count = decoder["layers"]["pre_self_attention_layer_norm"]["scale"].shape[SCAN_AXIS]
        return [jax.tree.map(lambda array, i=i: np.take(array, i, SCAN_AXIS), decoder["layers"]) for i in range(count)]
    return [decoder[f"layers_{i}"] for i in range(sum(name.startswith("layers_") for name in decoder))]


def _norm(params: Tree, x: Array) -> Array:
    return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-6) * params["scale"]


def _attention(params: Tree, x: Array, rotation: _Rotation) -> Array:
    q, k, v = (np.einsum("btd,dnh->btnh", x, params[name]["kernel"]) for name in ("query", "key", "value"))
    if "query_norm" in params:
        q, k = _norm(params["query_norm"], q) * q.shape[-1] ** -0.5, _norm(params["key_norm"], k)
    q, k = rotation(q), rotation(k)
    k, v = (np.repeat(array, q.shape[2] // array.shape[2], 2) for array in (k, v))
    scores = np.einsum("btnh,bsnh->bnts", q, k)
    causal = np.tril(np.ones(scores.shape[-2:], bool))
    weights = maxtext_gemma.softmax(np.where(causal, scores, -np.inf))
    return np.einsum("bnts,bsnh,nhd->btd", weights, v, params["out"]["kernel"])
