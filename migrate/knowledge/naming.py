"""Naming conventions on disk: those of Linen, of NNX and of common hand-written models.

Linen names the submodules of a compact method `Class_k`. It counts each class separately, in the order of construction:
in `Dense(a)(gelu(Dense(b)(x)))` the outer layer is `Dense_0`. So equal shapes never prove which layer corresponds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

BOX_LEVELS = ("value", "raw_value")
"""Levels below an array's name on disk: `value` of NNX's Variables and Linen's boxes, `raw_value` in Flax 0.8.2 to
0.8.5. They are not part of canonical key paths. A module can also be named `value`: only a level with a single array
and no siblings is a box.
"""

COLLECTIONS: Mapping[str, str] = {
    "params": "Param",
    "batch_stats": "BatchStat",
    "cache": "Cache",
    "intermediates": "Intermediate",
    "perturbations": "Perturbation",
}
"""Linen's collections, the first segments of key paths, and the corresponding NNX Variable types in each module."""

TRANSIENT_COLLECTIONS = frozenset({"cache", "intermediates", "perturbations"})
"""Collections that belong to one run of the model, which a migration usually drops."""


@dataclass(frozen=True, slots=True)
class Lift:
    """A lifted transformation of Linen, and the prefix that it adds to class names.

    Attributes:
      prefix: the prefix.
      transform: the transformation.
      axes: the number of axes that it adds to every array.
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
"""Prefixes of lifted classes without an explicit name, as in `ScanCheckpointBlock_0`. `variable_axes` determines the
axis that `nn.scan` adds, in most models the first.
"""

_AUTO_NAME = re.compile(r"(?P<name>[A-Z]\w*?)_(?P<index>\d+)")


@dataclass(frozen=True, slots=True)
class AutoName:
    """A name that Linen generated: the lifts from the outside in, the class, and the index within its class."""

    lifts: tuple[Lift, ...]
    cls: str
    index: int


def auto_name(segment: str) -> AutoName | None:
    """Parses a generated name; None for an explicit name.

    A prefix counts only before a capital letter, so a class such as `Scanner` keeps its name.
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
    """A kind of training state, and its top-level names.

    Attributes:
      name: the name of the kind.
      parts: the names that it always has, with their contents: `params`, `model`, `opt_state`, `step` or a collection.
      others: the names that it may have, with their contents.
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
"""Training states by their top-level names; the first match applies. `nnx.ModelAndOptimizer` has the form of
`nnx.Optimizer` in Flax 0.8 to 0.10, which contained its model; since 0.11, `nnx.Optimizer` does not. The params of a
TrainState may have another level `params` below them.
"""

PARAM_ROOTS: frozenset[str] = frozenset(
    name for one in TRAINING_STATES for name, what in one.parts.items() if what in ("params", "model")
)
"""Top-level names of the params that the optimizer of a training state updates."""


def training_state(names: frozenset[str]) -> TrainingState | None:
    """Returns the training state with these top-level names, or None."""
    return next(
        (one for one in TRAINING_STATES if one.parts.keys() <= names <= one.parts.keys() | one.others.keys()), None
    )


FOREIGN_LEAVES = frozenset(
    {"w", "b", "weight", "gamma", "beta", "offset", "moving_mean", "moving_variance", "running_mean", "running_var"}
)
"""Names that Haiku, Keras, Equinox and PyTorch give to the arrays of their layers."""

_COUNTED_NAME = re.compile(
    r"(?:linear|dense|embed|embedding|conv\d?_?d?|conv\d_?d_transpose|layer_norm|rms_norm|group_norm|batch_norm|"
    r"(?:layer|batch|group)_normalization|multi_head_attention|mlp|lstm|gru)(?:_\d+)?"
)


def is_counted_name(segment: str) -> bool:
    """Whether Haiku or Keras may have generated a name: both count layers of a class in the order of construction."""
    return _COUNTED_NAME.fullmatch(segment) is not None


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
    "bias": ("b", "beta", "offset"),
    "mean": ("moving_mean", "running_mean"),
    "var": ("moving_variance", "running_var"),
    "scale": ("weight", "gamma", "g"),
    "embedding": ("weight", "table"),
    "pos_embedding": ("pos", "positions", "pos_embed", "position_embedding"),
}
"""Names of Linen's classes and arrays, and common names for them in hand-written NNX models."""
