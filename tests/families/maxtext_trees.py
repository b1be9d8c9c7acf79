"""MaxText's side: its tree of params by names and shapes, and a decoder that computes what its formulas say.

MaxText itself needs Python 3.12 and many more packages, so that it does not run here.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from tests.families.rows import ROWS, Row

Tree = dict[str, Any]
SCAN_AXIS = 1


def make(row: str) -> Tree:
    """Returns the tree of a row's model as MaxText saves it, with zeros in the row's dtype."""
    chosen = next(one for one in ROWS if one.name == row)
    params = jax.tree.map(lambda shape: jnp.zeros(shape, chosen.dtype), _tree(chosen), is_leaf=_is_shape)
    return {"params": {"params": params}}


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple)


def _tree(row: Row) -> Tree:
    config = row.config
    layers = config["num_hidden_layers"]
    layer, width, vocabulary = _layer(config, row.family), config["hidden_size"], config["vocab_size"]
    if "unscanned" in row.rules:
        below = {f"layers_{i}": layer for i in range(layers)}
    else:
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
        "mlp": {"wi_0": {"kernel": (d, f)}, "wi_1": {"kernel": (d, f)}, "wo": {"kernel": (f, d)}},
    }


def logits(tree: Tree, input_ids: Any) -> jax.Array:
    """Returns the logits of tokens of shape (batch, length), computed in float32.

    Queries that have a norm are scaled; others are stored divided by the square root of a head's size.
    """
    params = jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), tree["params"]["params"])
    embedding, decoder = params["token_embedder"]["embedding"], params["decoder"]
    x = embedding[jnp.asarray(input_ids)]
    for layer in _layers(decoder):
        x = x + _attention(layer["self_attention"], _norm(layer["pre_self_attention_layer_norm"], x))
        normed = _norm(layer["post_self_attention_layer_norm"], x)
        mlp = {name: part["kernel"] for name, part in layer["mlp"].items()}
        x = x + (jax.nn.silu(normed @ mlp["wi_0"]) * (normed @ mlp["wi_1"])) @ mlp["wo"]
    x = _norm(decoder["decoder_norm"], x)
    return x @ (decoder["logits_dense"]["kernel"] if "logits_dense" in decoder else embedding.T)


def _layers(decoder: Tree) -> list[Tree]:
    if "layers" in decoder:
        count = decoder["layers"]["pre_self_attention_layer_norm"]["scale"].shape[SCAN_AXIS]
        return [jax.tree.map(lambda array, i=i: jnp.take(array, i, SCAN_AXIS), decoder["layers"]) for i in range(count)]
    return [decoder[f"layers_{i}"] for i in range(sum(name.startswith("layers_") for name in decoder))]


def _norm(params: Tree, x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6) * params["scale"]


def _attention(params: Tree, x: jax.Array) -> jax.Array:
    q, k, v = (jnp.einsum("btd,dnh->btnh", x, params[name]["kernel"]) for name in ("query", "key", "value"))
    if "query_norm" in params:
        q, k = _norm(params["query_norm"], q) * q.shape[-1] ** -0.5, _norm(params["key_norm"], k)
    q, k = _rotated(q), _rotated(k)
    k, v = (jnp.repeat(array, q.shape[2] // array.shape[2], 2) for array in (k, v))
    scores = jnp.einsum("btnh,bsnh->bnts", q, k)
    causal = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
    return jnp.einsum("bnts,bsnh,nhd->btd", weights, v, params["out"]["kernel"])


def _rotated(x: jax.Array) -> jax.Array:
    """Returns heads with rotary positions of theta 1,000,000: the first half of the features turns against the rest."""
    half = x.shape[-1] // 2
    angles = jnp.arange(x.shape[1])[:, None] * 1_000_000.0 ** (-jnp.arange(half) / half)
    cos, sin = jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)
