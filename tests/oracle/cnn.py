"""The Linen CNN's leaves, placed by hand where `fixtures.models.cnn:make_state` expects them."""

from pathlib import Path

import numpy as np

from tests.oracle.values import FIXTURES, Leaves, flat, read_state

SOURCE = FIXTURES / "linen_2022/cnn_flax_msgpack/ckpt/checkpoint_100"
"""All of the era's CNN checkpoints hold these values."""

NNX_SOURCE = FIXTURES / "nnx_2024/cnn_optimizer/ckpt"
PURE_SOURCE = FIXTURES / "nnx_2024/cnn_pure_dict/ckpt"


def expected_leaves(path: Path = SOURCE) -> Leaves:
    """Every leaf of the target; the optimizer's step is uint32 where the source had int32.

    Args:
      path: a msgpack file, or an Orbax item in OCDBT.
    """
    state = read_state(path)
    leaves: Leaves = {("optimizer", "step"): np.asarray(state["step"]).astype(np.uint32)}
    leaves["optimizer", "opt_state", "0", "count"] = np.asarray(state["opt_state"]["0"]["count"])
    _place(leaves, ("model",), state["params"])
    for slot in ("mu", "nu"):
        _place(leaves, ("optimizer", "opt_state", "0", slot), state["opt_state"]["0"][slot])
    for index in ("0", "1"):
        for name in ("mean", "var"):
            leaves["model", "norms", index, name] = state["batch_stats"][f"BatchNorm_{index}"][name]
    return leaves


def expected_leaves_of_nnx(path: Path = NNX_SOURCE) -> Leaves:
    """The same from what an optimizer of Flax 0.10 saved, where Variables are nodes with a leaf `value`."""
    leaves = {keys[:-1]: value for keys, value in flat(read_state(path)).items()}
    return {keys if keys[0] == "model" else ("optimizer", *keys): value for keys, value in leaves.items()}


def expected_leaves_of_pure_dict(path: Path = PURE_SOURCE) -> Leaves:
    """Every leaf of the model alone: a pure dict has no other names."""
    return flat(read_state(path))


def _place(leaves: Leaves, prefix: tuple[str, ...], params: dict) -> None:
    for index in ("0", "1"):
        leaves[*prefix, "convs", index, "kernel"] = params[f"Conv_{index}"]["kernel"]
        for name in ("scale", "bias"):
            leaves[*prefix, "norms", index, name] = params[f"BatchNorm_{index}"][name]
    for name in ("kernel", "bias"):
        leaves[*prefix, "head", name] = params["Dense_0"][name]
