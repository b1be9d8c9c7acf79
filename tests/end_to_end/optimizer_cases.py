"""Optimizers and ops, every pair of them: what a migration does to the params, in NumPy and as rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

Tree = dict[str, Any]
SCHEDULE = optax.linear_schedule(0.1, 0.01, 20)


def kernels(params: Any) -> Any:
    """Which params an optimizer for kernels alone has."""
    return jax.tree_util.tree_map_with_path(lambda path, _: "kernel" in jax.tree_util.keystr(path), params)


def labels(params: Any) -> Any:
    return jax.tree.map(lambda is_kernel: "kernels" if is_kernel else "rest", kernels(params))


def two_groups() -> optax.GradientTransformation:
    return optax.multi_transform({"kernels": optax.adam(0.1), "rest": optax.sgd(0.1, momentum=0.9)}, labels)


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: optax.sgd(SCHEDULE),
    "momentum": lambda: optax.sgd(0.1, momentum=0.9),
    "nesterov": lambda: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: optax.adam(0.1),
    "adamw": lambda: optax.adamw(SCHEDULE, weight_decay=0.01),
    "lion": lambda: optax.lion(0.1),
    "rmsprop": lambda: optax.rmsprop(0.1),
    "rmsprop, centered, with momentum": lambda: optax.rmsprop(0.1, centered=True, momentum=0.9),
    "adagrad": lambda: optax.adagrad(0.1),
    "adafactor": lambda: optax.adafactor(0.1, min_dim_size_to_factor=4, momentum=0.9),
    "lamb": lambda: optax.lamb(0.1),
    "lars": lambda: optax.lars(0.1),
    "novograd": lambda: optax.novograd(0.1),
    "muon": lambda: optax.contrib.muon(0.1),
    "MultiSteps": lambda: optax.MultiSteps(optax.adam(0.1), 2),
    "masked": lambda: optax.masked(optax.adam(0.1), kernels),
    "multi_transform": two_groups,
    "inject_hyperparams": lambda: optax.inject_hyperparams(optax.adamw)(learning_rate=SCHEDULE),
    "named_chain": lambda: optax.named_chain(("clip", optax.clip(9.0)), ("adam", optax.adam(0.1))),
    "chain with an EMA": lambda: optax.chain(optax.adam(SCHEDULE), optax.ema(0.9)),
}

CHANGES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "clip_by_global_norm in front": (
        OPTIMIZERS["adamw"],
        lambda: optax.chain(optax.clip_by_global_norm(1e9), optax.adamw(SCHEDULE, weight_decay=0.01)),
    ),
    "clip_by_global_norm gone": (
        lambda: optax.chain(optax.clip_by_global_norm(1e9), optax.adam(0.1)),
        OPTIMIZERS["adam"],
    ),
    "a chain inside a chain": (
        lambda: optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(lambda _: -0.1)),
        lambda: optax.chain(
            optax.chain(optax.clip(9.0), optax.chain(optax.scale_by_adam())), optax.scale_by_schedule(lambda _: -0.1)
        ),
    ),
}
"""Chains that have other indices after the migration, and train alike."""


@dataclass(frozen=True)
class Change:
    """What a migration does to some params.

    Attributes:
      source, target: their shapes before and after.
      rules: what says so to the package.
      there: from a tree of arrays like `source` to one like `target`.
      back: the other way.
    """

    source: Tree
    target: Tree
    rules: str
    there: Callable[[Tree], Tree]
    back: Callable[[Tree], Tree]


def kernel(*shape: int) -> Tree:
    return {"kernel": shape}


CHANGED: dict[str, Change] = {
    "rename": Change(
        {"old": {"kernel": (4, 6), "bias": (6,)}},
        {"new": {"kernel": (4, 6), "bias": (6,)}},
        '- "params/old/** -> model/new/**"',
        lambda t: {"new": t["old"]},
        lambda t: {"old": t["new"]},
    ),
    "transpose": Change(
        {"t": kernel(4, 6), "s": kernel(4, 4)},
        {"t": kernel(6, 4), "s": kernel(4, 4)},
        '- {from: "params/{n:t|s}/kernel", to: "model/{n}/kernel", ops: [transpose]}',
        lambda t: {n: {"kernel": t[n]["kernel"].T} for n in t},
        lambda t: {n: {"kernel": t[n]["kernel"].T} for n in t},
    ),
    "reshape": Change(
        {"r": kernel(4, 6)},
        {"r": kernel(4, 2, 3)},
        "- {from: params/r/kernel, to: model/r/kernel, ops: [{reshape: [4, 2, 3]}]}",
        lambda t: {"r": {"kernel": t["r"]["kernel"].reshape(4, 2, 3)}},
        lambda t: {"r": {"kernel": t["r"]["kernel"].reshape(4, 6)}},
    ),
    "split": Change(
        {"kv": kernel(4, 6)},
        {"k": kernel(4, 2), "v": kernel(4, 4)},
        "- {from: params/kv/kernel, to: [model/k/kernel, model/v/kernel], ops: [{split: {axis: 1, sizes: [2, 4]}}]}",
        lambda t: {"k": {"kernel": t["kv"]["kernel"][:, :2]}, "v": {"kernel": t["kv"]["kernel"][:, 2:]}},
        lambda t: {"kv": {"kernel": np.concatenate([t["k"]["kernel"], t["v"]["kernel"]], 1)}},
    ),
    "unstack": Change(
        {"scan": kernel(2, 4, 6)},
        {"layer_0": kernel(4, 6), "layer_1": kernel(4, 6)},
        '- {from: params/scan/kernel, to: "model/layer_{i}/kernel", ops: [{unstack: {axis: 0, over: i}}]}',
        lambda t: {f"layer_{i}": {"kernel": t["scan"]["kernel"][i]} for i in range(2)},
        lambda t: {"scan": {"kernel": np.stack([t[f"layer_{i}"]["kernel"] for i in range(2)])}},
    ),
    "stack": Change(
        {"block_0": kernel(4, 6), "block_1": kernel(4, 6)},
        {"blocks": kernel(2, 4, 6)},
        '- {from: "params/block_{i}/kernel", to: model/blocks/kernel, ops: [{stack: {axis: 0, over: i}}]}',
        lambda t: {"blocks": {"kernel": np.stack([t[f"block_{i}"]["kernel"] for i in range(2)])}},
        lambda t: {f"block_{i}": {"kernel": t["blocks"]["kernel"][i]} for i in range(2)},
    ),
    "concat": Change(
        {"a": kernel(4, 6), "b": kernel(4, 6)},
        {"ab": kernel(4, 12)},
        "- {from: [params/a/kernel, params/b/kernel], to: model/ab/kernel, ops: [{concat: {axis: 1}}]}",
        lambda t: {"ab": {"kernel": np.concatenate([t["a"]["kernel"], t["b"]["kernel"]], 1)}},
        lambda t: {"a": {"kernel": t["ab"]["kernel"][:, :6]}, "b": {"kernel": t["ab"]["kernel"][:, 6:]}},
    ),
}
"""Ops by the name of the one that matters."""

RECUT = ("split", "unstack", "stack", "concat")
REFUSED: dict[str, dict[str, str]] = {
    "adafactor": {
        "reshape": "means of rows and columns follow only a transpose",
        **dict.fromkeys(RECUT, "no exact equivalent for means of rows and columns"),
    },
    "lamb": dict.fromkeys(RECUT, "by the tensor's own norm"),
    "lars": dict.fromkeys(RECUT, "by the tensor's own norm"),
    "novograd": dict.fromkeys(RECUT, "one second moment for each tensor"),
    "muon": {
        **dict.fromkeys(("transpose", "split", "concat"), "muon orthogonalizes each tensor as one matrix"),
        **dict.fromkeys(("reshape", "unstack", "stack"), "have no place in the target"),
    },
}
"""Ops that have no exact meaning for an optimizer, with words of the reason; every other pair is exact.

Muon takes matrices alone: a kernel of three axes belongs to its adam, which has no moment of it to go on with.
"""

NORMS = ("adafactor", "lamb", "novograd", "lars")
"""Optimizers that add up the elements of a tensor; of a transposed one they do it in another order, and round so."""


def shapes_of(changes: list[str], side: str) -> Tree:
    return {name: value for op in changes for name, value in getattr(CHANGED[op], side).items()}


def arrays(shapes: Tree, rng: np.random.Generator) -> Tree:
    return {
        name: arrays(value, rng) if isinstance(value, dict) else rng.normal(size=value).astype(np.float32)
        for name, value in shapes.items()
    }


def module(shapes: Tree) -> nnx.Module:
    parts = {n: module(v) if isinstance(v, dict) else nnx.Param(jax.numpy.zeros(v)) for n, v in shapes.items()}
    return nnx.Dict(parts)


def make(optimizer: str, changes: str) -> Tree:
    """The template: the target's model and its optimizer."""
    model = module(shapes_of(changes.split(), "target"))
    maker = CHANGES[optimizer][1] if optimizer in CHANGES else OPTIMIZERS[optimizer]
    return {"model": model, "optimizer": nnx.Optimizer(model, maker(), wrt=nnx.Param)}
