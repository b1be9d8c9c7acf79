"""MaxText's Gemmas: the tree by names and shapes, and a decoder that computes what its formulas say."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

Array = np.ndarray[Any, Any]
Tree = dict[str, Any]
SCAN_AXIS = 1
KINDS = ("local", "global")
"""The two halves of a layer of Gemma 2."""
PERIOD = 6
"""The number of layers of Gemma 3 that are scanned together: five local ones and a global one."""


def shapes(config: dict[str, Any], family: str, *, scanned: bool, padding: int) -> Tree:
    """Returns the shapes of the params.

    MaxText joins two layers of Gemma 2 to one. Of Gemma 3, it scans groups of layers, and the rest is not scanned.

    Args:
      config: the config of Hugging Face's model.
      family: transformers' name of the model's type.
      scanned: whether the layers are one array per param.
      padding: the number of tokens that are added to the vocabulary.
    """
    one = _layer(config, family)
    count = config["num_hidden_layers"]
    if family == "gemma2":
        one, count = {f"{name}_{kind}": part for kind in KINDS for name, part in one.items()}, count // 2
    below = {f"layers_{i}": one for i in range(count)}
    if scanned and family == "gemma3_text":
        group = {f"layers_{i}": _scanned(one, count // PERIOD) for i in range(PERIOD)}
        below = {"layers": group, "layers_remainder": {f"layers_{i}": one for i in range(count % PERIOD)}}
    elif scanned:
        below = {"layers": _scanned(one, count)}
    width = config["hidden_size"]
    return {
        "token_embedder": {"embedding": (config["vocab_size"] + padding, width)},
        "decoder": {"decoder_norm": {"scale": (width,)}, **below},
    }


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple)


def _scanned(layer: Tree, count: int) -> Tree:
    return jax.tree.map(lambda shape: (*shape[:SCAN_AXIS], count, *shape[SCAN_AXIS:]), layer, is_leaf=_is_shape)


def _layer(config: dict[str, Any], family: str) -> Tree:
    d, f, h = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    n, k = config["num_attention_heads"], config["num_key_value_heads"]
    places = ("pre_self_attention", "pre_ffw") + (() if family == "gemma" else ("post_self_attention", "post_ffw"))
    has_head_norms = family == "gemma3_text"
    head_norms = {f"{part}_norm": {"scale": (h,)} for part in ("query", "key")} if has_head_norms else {}
    return {
        **{f"{place}_norm": {"scale": (d,)} for place in places},
        "self_attention": {
            "query": {"kernel": (d, n, h)},
            "key": {"kernel": (d, k, h)},
            "value": {"kernel": (d, k, h)},
            "out": {"kernel": (n, h, d)},
            **head_norms,
        },
        "mlp": {"wi_0": {"kernel": (d, f)}, "wi_1": {"kernel": (d, f)}, "wo": {"kernel": (f, d)}},
    }


def logits(params: Tree, input_ids: Any, config: dict[str, Any]) -> Array:
    """Returns the logits of tokens of shape (batch, length).

    The embedding is stored times the square root of the width, and norms with the 1 that Hugging Face adds.
    """
    embedding, decoder = params["token_embedder"]["embedding"], params["decoder"]
    layers = _layers(decoder)
    first, third = "post_ffw_norm" not in layers[0], "query_norm" in layers[0]["self_attention"]
    second = not first and not third
    x = embedding[input_ids]
    for i, layer in enumerate(layers):
        is_local = i % PERIOD != PERIOD - 1 if third else second and i % 2 == 0
        theta = 1_000_000.0 if third and not is_local else 10_000.0
        window = config["sliding_window"] if is_local else None
        cap = 50.0 if second else None
        mixed = _attention(layer["self_attention"], _norm(layer["pre_self_attention_norm"], x), theta, window, cap)
        x = x + (mixed if first else _norm(layer["post_self_attention_norm"], mixed))
        mixed = _mlp(layer["mlp"], _norm(layer["pre_ffw_norm"], x))
        x = x + (mixed if first else _norm(layer["post_ffw_norm"], mixed))
    x = _norm(decoder["decoder_norm"], x) / config["hidden_size"] ** 0.5
    result = x @ embedding[: config["vocab_size"]].T
    return 30 * np.tanh(result / 30) if second else result


def _layers(decoder: Tree) -> list[Tree]:
    """Returns the layers as Hugging Face counts them."""
    if "layers_remainder" in decoder:
        parts = [_unscanned(decoder["layers"][f"layers_{i}"]) for i in range(PERIOD)]
        rest = decoder["layers_remainder"]
        grouped = [part[i] for i in range(len(parts[0])) for part in parts]
        return grouped + [rest[f"layers_{i}"] for i in range(len(rest))]
    if "layers" in decoder:
        joined = _unscanned(decoder["layers"])
    else:
        joined = [decoder[f"layers_{i}"] for i in range(len(decoder) - 1)]
    if "mlp" in joined[0]:
        return joined
    return [
        {name.removesuffix(f"_{kind}"): part for name, part in layer.items() if name.endswith(kind)}
        for layer in joined
        for kind in KINDS
    ]


def _unscanned(layers: Tree) -> list[Tree]:
    count = jax.tree.leaves(layers)[0].shape[SCAN_AXIS]
    return [jax.tree.map(lambda array, i=i: np.take(array, i, SCAN_AXIS), layers) for i in range(count)]


def softmax(x: Array) -> Array:
    """Returns weights that sum up to 1 along the last axis."""
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))


def _norm(params: Tree, x: Array) -> Array:
    return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-6) * params["scale"]


def _mlp(params: Tree, x: Array) -> Array:
    gate, up, down = (params[name]["kernel"] for name in ("wi_0", "wi_1", "wo"))
    return (_gelu(x @ gate) * (x @ up)) @ down


def _attention(params: Tree, x: Array, theta: float, window: int | None, cap: float | None) -> Array:
    q, k, v = (np.einsum("btd,dnh->btnh", x, params[name]["kernel"]) for name in ("query", "key", "value"))
    if "query_norm" in params:
        q, k = _norm(params["query_norm"], q) * q.shape[-1] ** -0.5, _norm(params["key_norm"], k)
    q, k = _rotated(q, theta), _rotated(k, theta)
    k, v = (np.repeat(array, q.shape[2] // array.shape[2], 2) for array in (k, v))
    scores = np.einsum("btnh,bsnh->bnts", q, k)
    if cap is not None:
        scores = cap * np.tanh(scores / cap)
    distance = np.arange(x.shape[1])[:, None] - np.arange(x.shape[1])
    seen = (distance >= 0) & (distance < (window or x.shape[1]))
    weights = softmax(np.where(seen, scores, -np.inf))
    return np.einsum("bnts,bsnh,nhd->btd", weights, v, params["out"]["kernel"])


def _rotated(x: Array, theta: float) -> Array:
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[1])[:, None] * theta ** (-np.arange(half) / half)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    first, second = x[..., :half], x[..., half:]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], -1)
