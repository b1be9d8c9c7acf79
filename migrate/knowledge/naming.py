"""How Linen, NNX and those who write models name things on disk.

Linen names what a compact method makes `Class_k`, counting each class apart and in the order of construction: in
`Dense(a)(gelu(Dense(b)(x)))` the outer one is `Dense_0`. So equal shapes never prove which layer is meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

BOX_LEVELS = ("value", "raw_value")
"""Levels below an array's name on disk: `value` of NNX's Variables and Linen's boxes, `raw_value` in Flax 0.8.2 to
0.8.5. They are no part of canonical key paths. A module can be named `value`, too: only a lone level above an array is
a box.
"""

COLLECTIONS: Mapping[str, str] = {
    "params": "Param",
    "batch_stats": "BatchStat",
    "cache": "Cache",
    "intermediates": "Intermediate",
    "perturbations": "Perturbation",
}
"""Linen's collections, which stand first in a key path, and the Variables that NNX makes of them inside each module."""

TRANSIENT_COLLECTIONS = frozenset({"cache", "intermediates", "perturbations"})
"""Collections of one run of the model, which a migration usually leaves behind."""


@dataclass(frozen=True, slots=True)
class Lift:
    """What a transformation of Linen puts before a class's name.

    Attributes:
      prefix: what stands before it.
      transform: the transformation.
      axes: how many axes it adds to every array.
    """

    prefix: str
    transform: str
    axes: int = 0


LIFTS: tuple[Lift, ...] = (
    Lift("Remat_scan", "nn.remat_scan", axes=2),
    Lift("Scan", "nn.scan", axes=1),
    Lift("Vmap", "nn.vmap", axes=1),
    Lift("Checkpoint", "nn.remat"),
    Lift("Remat", "nn.remat"),
    Lift("Jit", "nn.jit"),
    Lift("Map_variables", "nn.map_variables"),
    Lift("Fold_rngs", "nn.fold_rngs"),
)
"""Prefixes that classes get when they are lifted without a name of their own, as in `ScanCheckpointBlock_0`. `nn.scan`
puts its axis where `variable_axes` says, the first by default in most models.
"""

_AUTO_NAME = re.compile(r"(?P<name>[A-Z]\w*?)_(?P<index>\d+)")


@dataclass(frozen=True, slots=True)
class AutoName:
    """A name that Linen gave: the lifts from the outside in, the class, and the number among its like."""

    lifts: tuple[Lift, ...]
    cls: str
    index: int


def auto_name(segment: str) -> AutoName | None:
    """What an automatic name says, or None for a name that somebody chose.

    A class whose own name begins with a prefix (`Scanner`) keeps it; a lifted class begins with a capital itself.
    """
    found = _AUTO_NAME.fullmatch(segment)
    if found is None:
        return None
    lifts: list[Lift] = []
    rest = found["name"]
    while (lift := _outer(rest)) is not None:
        lifts.append(lift)
        rest = rest.removeprefix(lift.prefix)
    return AutoName(tuple(lifts), rest, int(found["index"]))


def _outer(name: str) -> Lift | None:
    return next((lift for lift in LIFTS if re.match(rf"{lift.prefix}[A-Z]", name)), None)


@dataclass(frozen=True, slots=True)
class TrainingState:
    """A thing that people save, and the names of its parts at the top.

    Attributes:
      name: what it is called.
      parts: names that are always there, with what each holds: `params`, `model`, `opt_state`, `step`, or a collection.
      others: names that may be there.
    """

    name: str
    parts: Mapping[str, str]
    others: Mapping[str, str]


_SLOTS = {"opt_state": "opt_state", "step": "step"}

TRAINING_STATES: tuple[TrainingState, ...] = (
    TrainingState("nnx.ModelAndOptimizer", {"model": "model", **_SLOTS}, {}),
    TrainingState(
        "flax.training TrainState",
        {"params": "params", **_SLOTS},
        {
            "batch_stats": "batch_stats",
            "rng": "rng",
            "dropout_rng": "rng",
            "ema_params": "params",
            "metrics": "metrics",
        },
    ),
    TrainingState("T5X TrainState", {"target": "params", "state": "opt_state"}, {"flax_mutables": "batch_stats"}),
    TrainingState("nnx.Optimizer", {"step": "step"}, {"opt_state": "opt_state"}),
    TrainingState("Linen variables", {"params": "params"}, {name: name for name in COLLECTIONS if name != "params"}),
)
"""Training states by the names at their top; the first that fits is the one. `nnx.ModelAndOptimizer` has the form of
`nnx.Optimizer` in Flax 0.8 to 0.10, which held its model; from 0.11 on an `nnx.Optimizer` is without it. The params of
a TrainState may hold a level `params` of their own.
"""

PARAM_ROOTS: frozenset[str] = frozenset(
    name for one in TRAINING_STATES for name, what in one.parts.items() if what in ("params", "model")
)
"""Names under which training states keep the params that their optimizer trains."""


def training_state(names: frozenset[str]) -> TrainingState | None:
    """The training state whose parts these top-level names are, or None."""
    return next(
        (one for one in TRAINING_STATES if one.parts.keys() <= names <= one.parts.keys() | one.others.keys()), None
    )


SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "LayerNorm": ("norm", "ln", "layer_norm", "layernorm"),
    "RMSNorm": ("norm", "rms_norm", "ln", "rmsnorm"),
    "BatchNorm": ("norm", "bn", "batch_norm", "batchnorm"),
    "GroupNorm": ("norm", "gn", "group_norm"),
    "Dense": ("linear", "fc", "dense", "proj", "layer", "layers"),
    "Conv": ("conv", "convs"),
    "Embed": ("embed", "embedding", "tok", "token_embed", "wte", "emb"),
    "MultiHeadDotProductAttention": ("attn", "attention", "self_attn", "mha"),
    "SelfAttention": ("attn", "self_attn", "attention"),
    "MlpBlock": ("mlp", "ffn", "feed_forward"),
    "EncoderBlock": ("blocks", "layers", "encoder"),
    "DecoderBlock": ("blocks", "layers", "decoder"),
    "Encoder": ("encoder", "transformer"),
    "Decoder": ("decoder", "transformer"),
    "query": ("q", "q_proj", "wq"),
    "key": ("k", "k_proj", "wk"),
    "value": ("v", "v_proj", "wv"),
    "out": ("o", "o_proj", "wo", "proj", "out_proj"),
    "kernel": ("w", "weight"),
    "bias": ("b",),
    "scale": ("weight", "gamma", "g"),
    "embedding": ("weight", "table"),
    "pos_embedding": ("pos", "positions", "pos_embed", "position_embedding"),
}
"""Names of Linen's classes and arrays, and what those who write the NNX model by hand call the same thing."""
