"""The Linen CNN's leaves, placed by hand where `fixtures.models.cnn:make_state` expects them."""

from pathlib import Path

import numpy as np

from tests.oracle.values import FIXTURES, Leaves, read_msgpack

SOURCE = FIXTURES / "linen_2022/cnn_flax_msgpack/ckpt/checkpoint_100"
"""All of the era's CNN checkpoints hold these values."""


def expected_leaves(path: Path = SOURCE) -> Leaves:
    """Every leaf of the target; the optimizer's step is uint32 where the source had int32."""
    state = read_msgpack(path)
    leaves: Leaves = {("optimizer", "step"): np.asarray(state["step"]).astype(np.uint32)}
    leaves["optimizer", "opt_state", "0", "count"] = np.asarray(state["opt_state"]["0"]["count"])
    _place(leaves, ("model",), state["params"])
    for slot in ("mu", "nu"):
        _place(leaves, ("optimizer", "opt_state", "0", slot), state["opt_state"]["0"][slot])
    for index in ("0", "1"):
        for name in ("mean", "var"):
            leaves["model", "norms", index, name] = state["batch_stats"][f"BatchNorm_{index}"][name]
    return leaves


def _place(leaves: Leaves, prefix: tuple[str, ...], params: dict) -> None:
    for index in ("0", "1"):
        for name in ("kernel", "bias"):
            leaves[*prefix, "convs", index, name] = params[f"Conv_{index}"][name]
        for name in ("scale", "bias"):
            leaves[*prefix, "norms", index, name] = params[f"BatchNorm_{index}"][name]
    for name in ("kernel", "bias"):
        leaves[*prefix, "head", name] = params["Dense_0"][name]
