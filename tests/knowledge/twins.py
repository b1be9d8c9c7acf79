"""A Linen layer, the corresponding NNX layer and an input for both, for every row of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from flax import nnx

from migrate.knowledge.layers import LAYERS
from migrate.knowledge.model import Layer
from migrate.tree import KeyPath

Arrays = tuple[jax.Array, ...]


def values(*shape: int, sign: int = 1) -> jax.Array:
    return jax.device_put(sign * np.random.default_rng(7).normal(size=shape).astype(np.float32))


def plain(module: Any, variables: dict[str, Any], *inputs: jax.Array) -> Any:
    return module.apply(variables, *inputs)


def call(module: Any, *inputs: jax.Array) -> Any:
    return module(*inputs)


@dataclass(frozen=True)
class Twin:
    """A row with its layers made.

    Attributes:
      row: the row.
      linen: the Linen layer, or None where Linen has no variables to bring.
      nnx: makes the NNX layer.
      inputs: what both are called with.
      apply, call: how each is called.
      init: keyword arguments of Linen's `init`.
      children: the rows of its children, in their order.
      sized_by: the arguments of Linen's `init`, if they differ from those of the call.
      zeroed: Linen leaves that have to be zero.
    """

    row: Layer
    linen: nn.Module
    nnx: Callable[[nnx.Rngs], nnx.Module]
    inputs: Arrays
    apply: Callable[..., Any] = plain
    call: Callable[..., Any] = call
    init: dict[str, Any] = field(default_factory=dict)
    children: tuple[Layer, ...] = ()
    sized_by: Arrays = ()
    zeroed: tuple[KeyPath, ...] = ()


def row(linen: str, nnx: str) -> Layer:
    (found,) = (one for one in LAYERS if linen in one.linen and one.nnx == nnx)
    return found


def _cell(name: str, linen: type[nn.RNNCellBase], make: Any, **more: Any) -> Twin:
    """A recurrent cell, called with a carry that is not zero."""
    carry = values(2, 4) if name in ("GRUCell", "SimpleCell") else (values(2, 4), values(2, 4, sign=-1))
    return Twin(row(linen.__name__, name), linen(4), make, (carry, values(2, 3)), **more)


def _decoded(module: nn.Module, variables: dict[str, Any], x: jax.Array) -> jax.Array:
    return module.apply(variables, x, mutable=["cache"])[0]


def _attention_with_cache(rngs: nnx.Rngs) -> nnx.Module:
    layer = nnx.MultiHeadAttention(2, 6, decode=True, rngs=rngs)
    layer.init_cache((2, 5, 6))
    return layer


def _updating_none(module: nn.Module, variables: dict[str, Any], x: jax.Array) -> jax.Array:
    return module.apply(variables, x, update_stats=False)


def _in_training(module: nn.Module, variables: dict[str, Any], x: jax.Array) -> Any:
    output, updated = module.apply(variables, x, mutable=["batch_stats"])
    return output, updated["batch_stats"]["mean"], updated["batch_stats"]["var"]


def _train(module: nnx.BatchNorm, x: jax.Array) -> Any:
    return module(x), module.mean.get_value(), module.var.get_value()


def _image(channels: int = 3) -> jax.Array:
    return values(2, 6, 6, channels)


_LSTM = row("LSTMCell", "LSTMCell")
_DENSE, _LINEAR = nn.Dense(4), partial(nnx.Linear, 3, 4)


def _linen_rnn() -> nn.RNN:
    return nn.RNN(nn.LSTMCell(4))


def _rnn(rngs: nnx.Rngs) -> nnx.RNN:
    return nnx.RNN(nnx.LSTMCell(3, 4, rngs=rngs), rngs=rngs)


TWINS: dict[str, Twin] = {
    "Dense": Twin(row("Dense", "Linear"), _DENSE, lambda r: _LINEAR(rngs=r), (values(2, 3),)),
    "Dense without bias": Twin(
        row("Dense", "Linear"),
        nn.Dense(4, use_bias=False),
        lambda r: _LINEAR(use_bias=False, rngs=r),
        (values(2, 3),),
    ),
    "DenseGeneral": Twin(
        row("DenseGeneral", "LinearGeneral"),
        nn.DenseGeneral((4, 5), axis=(-1, 1)),
        lambda r: nnx.LinearGeneral((2, 3), (4, 5), axis=(-1, 1), rngs=r),
        (values(6, 2, 3),),
    ),
    "DenseGeneral with batch axes": Twin(
        row("DenseGeneral", "LinearGeneral"),
        nn.DenseGeneral(4, axis=-1, batch_dims=(0,)),
        lambda r: nnx.LinearGeneral(3, 4, axis=-1, batch_axis={0: 6}, rngs=r),
        (values(6, 2, 3),),
    ),
    "Einsum": Twin(
        row("Einsum", "Einsum"),
        nn.Einsum((3, 4, 5), "abc,cde->abde"),
        lambda r: nnx.Einsum("abc,cde->abde", (3, 4, 5), (4, 5), rngs=r),
        (values(2, 6, 3),),
    ),
    "Conv": Twin(
        row("Conv", "Conv"),
        nn.Conv(8, (3, 2), strides=(2, 1), kernel_dilation=(1, 2), feature_group_count=2, padding="CIRCULAR"),
        lambda r: nnx.Conv(
            4, 8, (3, 2), strides=(2, 1), kernel_dilation=(1, 2), feature_group_count=2, padding="CIRCULAR", rngs=r
        ),
        (_image(4),),
    ),
    "Conv of one axis": Twin(
        row("Conv", "Conv"), nn.Conv(4, 3), lambda r: nnx.Conv(3, 4, 3, rngs=r), (values(2, 6, 3),)
    ),
    "ConvTranspose": Twin(
        row("ConvTranspose", "ConvTranspose"),
        nn.ConvTranspose(4, (3, 2), strides=(2, 2)),
        lambda r: nnx.ConvTranspose(3, 4, (3, 2), strides=(2, 2), rngs=r),
        (_image(),),
    ),
    "ConvTranspose with a transposed kernel": Twin(
        row("ConvTranspose", "ConvTranspose"),
        nn.ConvTranspose(4, (3, 3), strides=(2, 2), transpose_kernel=True),
        lambda r: nnx.ConvTranspose(3, 4, (3, 3), strides=(2, 2), transpose_kernel=True, rngs=r),
        (_image(),),
    ),
    "Embed": Twin(
        row("Embed", "Embed"),
        nn.Embed(7, 4),
        lambda r: nnx.Embed(7, 4, rngs=r),
        (jax.device_put(np.array([[0, 3], [6, 1]], np.int32)),),
    ),
    "LayerNorm": Twin(
        row("LayerNorm", "LayerNorm"), nn.LayerNorm(), lambda r: nnx.LayerNorm(3, rngs=r), (values(2, 3),)
    ),
    "LayerNorm without scale": Twin(
        row("LayerNorm", "LayerNorm"),
        nn.LayerNorm(use_scale=False),
        lambda r: nnx.LayerNorm(3, use_scale=False, rngs=r),
        (values(2, 3),),
    ),
    "RMSNorm": Twin(row("RMSNorm", "RMSNorm"), nn.RMSNorm(), lambda r: nnx.RMSNorm(3, rngs=r), (values(2, 3),)),
    "GroupNorm": Twin(
        row("GroupNorm", "GroupNorm"),
        nn.GroupNorm(num_groups=2),
        lambda r: nnx.GroupNorm(4, num_groups=2, rngs=r),
        (_image(4),),
    ),
    "InstanceNorm": Twin(
        row("InstanceNorm", "InstanceNorm"), nn.InstanceNorm(), lambda r: nnx.InstanceNorm(3, rngs=r), (_image(),)
    ),
    "BatchNorm": Twin(
        row("BatchNorm", "BatchNorm"),
        nn.BatchNorm(use_running_average=True),
        lambda r: nnx.BatchNorm(3, use_running_average=True, rngs=r),
        (_image(),),
    ),
    "BatchNorm in training": Twin(
        row("BatchNorm", "BatchNorm"),
        nn.BatchNorm(use_running_average=False),
        lambda r: nnx.BatchNorm(3, use_running_average=False, rngs=r),
        (_image(),),
        _in_training,
        _train,
    ),
    "WeightNorm": Twin(
        row("WeightNorm", "WeightNorm"),
        nn.WeightNorm(_DENSE),
        lambda r: nnx.WeightNorm(_LINEAR(rngs=r), rngs=r),
        (values(2, 3),),
        children=(row("Dense", "Linear"),),
    ),
    "SpectralNorm": Twin(
        row("SpectralNorm", "SpectralNorm"),
        nn.SpectralNorm(_DENSE),
        lambda r: nnx.SpectralNorm(_LINEAR(rngs=r), rngs=r),
        (values(2, 3),),
        _updating_none,
        lambda module, x: module(x, update_stats=False),
        init={"update_stats": False},
        children=(row("Dense", "Linear"),),
    ),
    "PReLU": Twin(row("PReLU", "PReLU"), nn.PReLU(), lambda _: nnx.PReLU(), (values(2, 3),)),
    "MultiHeadDotProductAttention": Twin(
        row("MultiHeadDotProductAttention", "MultiHeadAttention"),
        nn.MultiHeadDotProductAttention(2, qkv_features=8),
        lambda r: nnx.MultiHeadAttention(2, 6, qkv_features=8, decode=False, rngs=r),
        (values(2, 5, 6),),
    ),
    "MultiHeadDotProductAttention with normalized q and k": Twin(
        row("MultiHeadDotProductAttention", "MultiHeadAttention"),
        nn.MultiHeadDotProductAttention(2, normalize_qk=True, use_bias=False),
        lambda r: nnx.MultiHeadAttention(2, 6, normalize_qk=True, use_bias=False, decode=False, rngs=r),
        (values(2, 5, 6),),
    ),
    "MultiHeadDotProductAttention with dropout": Twin(
        row("MultiHeadDotProductAttention", "MultiHeadAttention"),
        nn.MultiHeadDotProductAttention(2, dropout_rate=0.5, deterministic=True),
        lambda r: nnx.MultiHeadAttention(2, 6, dropout_rate=0.5, deterministic=True, decode=False, rngs=r),
        (values(2, 5, 6),),
    ),
    "MultiHeadDotProductAttention in the middle of decoding": Twin(
        row("MultiHeadDotProductAttention", "MultiHeadAttention"),
        nn.MultiHeadDotProductAttention(2, decode=True),
        _attention_with_cache,
        (values(2, 1, 6),),
        _decoded,
        sized_by=(values(2, 5, 6),),
    ),
    "LSTMCell": _cell("LSTMCell", nn.LSTMCell, lambda r: nnx.LSTMCell(3, 4, rngs=r)),
    "OptimizedLSTMCell to LSTMCell": _cell("LSTMCell", nn.OptimizedLSTMCell, lambda r: nnx.LSTMCell(3, 4, rngs=r)),
    "OptimizedLSTMCell": _cell(
        "OptimizedLSTMCell", nn.OptimizedLSTMCell, lambda r: nnx.OptimizedLSTMCell(3, 4, rngs=r)
    ),
    "LSTMCell to OptimizedLSTMCell": _cell(
        "OptimizedLSTMCell", nn.LSTMCell, lambda r: nnx.OptimizedLSTMCell(3, 4, rngs=r)
    ),
    "GRUCell": _cell("GRUCell", nn.GRUCell, lambda r: nnx.GRUCell(3, 4, rngs=r), zeroed=(("hn", "bias"),)),
    "SimpleCell": _cell("SimpleCell", nn.SimpleCell, lambda r: nnx.SimpleCell(3, 4, rngs=r)),
    "RNN": Twin(row("RNN", "RNN"), _linen_rnn(), _rnn, (values(2, 5, 3),), children=(_LSTM,)),
    "Bidirectional": Twin(
        row("Bidirectional", "Bidirectional"),
        nn.Bidirectional(_linen_rnn(), _linen_rnn()),
        lambda r: nnx.Bidirectional(_rnn(r), _rnn(r), rngs=r),
        (values(2, 5, 3),),
        children=(row("RNN", "RNN"), row("RNN", "RNN")),
    ),
    "Dropout": Twin(
        row("Dropout", "Dropout"),
        nn.Dropout(0.5, deterministic=True),
        lambda r: nnx.Dropout(0.5, deterministic=True, rngs=r),
        (values(2, 3),),
    ),
    "Dense to LoRA": Twin(
        row("Dense", "LoRA"),
        _DENSE,
        lambda r: nnx.LoRA(3, 2, 4, base_module=_LINEAR(rngs=r), rngs=r),
        (values(2, 3),),
        children=(row("Dense", "Linear"),),
    ),
    "Dense to LoRALinear": Twin(
        row("Dense", "LoRALinear"), _DENSE, lambda r: nnx.LoRALinear(3, 4, lora_rank=2, rngs=r), (values(2, 3),)
    ),
}


def make(name: str) -> dict[str, Any]:
    """The template of a migration: the layer, and an array beside it, without which a Dropout's checkpoint is empty."""
    return {"layer": TWINS[name].nnx(nnx.Rngs(3)), "beside": np.zeros(2, np.float32)}


def make_weight_norm() -> dict[str, Any]:
    """The template with a WeightNorm."""
    return make("WeightNorm")
