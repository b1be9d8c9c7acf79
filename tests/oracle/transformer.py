"""The Linen language model's leaves, placed by hand where the states of `fixtures.models.transformer` expect them.

Random streams are not among them: nothing in the source determines them.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.oracle.values import FIXTURES, Leaves, flat, read_state

Twin = Literal["list", "stacked", "fused"]

SOURCE = FIXTURES / "linen_2022/lm_flax_msgpack/ckpt/checkpoint_100"
SCAN_SOURCE = FIXTURES / "linen_2022/lm_scan_flax_msgpack/ckpt/checkpoint_100"


def expected_leaves(path: Path = SOURCE, twin: Twin = "list") -> Leaves:
    """Every leaf of the target but random streams, from a checkpoint with separate or with scanned blocks.

    Args:
      path: a msgpack file, or an Orbax item in OCDBT.
      twin: which of the three states.
    """
    state = read_state(path)
    leaves: Leaves = {("optimizer", "step"): np.asarray(state["step"]).astype(np.uint32)}
    leaves["optimizer", "opt_state", "0", "count"] = np.asarray(state["opt_state"]["0"]["count"])
    leaves.update(flat(_target(state["params"], twin), ("model",)))
    for slot in ("mu", "nu"):
        leaves.update(flat(_target(state["opt_state"]["0"][slot], twin), ("optimizer", "opt_state", "0", slot)))
    return leaves


def _target(params: dict[str, Any], twin: Twin) -> dict[str, Any]:
    blocks = [_block(source, fused=twin == "fused") for source in _source_blocks(params)]
    return {
        "embed": {"embedding": params["Embed_0"]["embedding"]},
        "positions": params["pos_embedding"][0],
        "blocks": _stacked(blocks) if twin == "stacked" else {str(i): block for i, block in enumerate(blocks)},
        "norm": params["LayerNorm_0"],
        "head": params["Dense_0"],
    }


def _source_blocks(params: dict[str, Any]) -> list[dict[str, Any]]:
    if "ScanEncoderBlock_0" not in params:
        return [params[f"EncoderBlock_{i}"] for i in range(3)]
    scanned = params["ScanEncoderBlock_0"]
    return [_map(lambda array, layer=i: array[layer], scanned) for i in range(3)]


def _block(source: dict[str, Any], *, fused: bool) -> dict[str, Any]:
    attn = source["MultiHeadDotProductAttention_0"]
    return {
        "norm1": source["LayerNorm_0"],
        "attn": _fused(attn) if fused else attn,
        "norm2": source["LayerNorm_1"],
        "up": source["Dense_0"],
        "down": source["Dense_1"],
    }


def _fused(attn: dict[str, Any]) -> dict[str, Any]:
    features = attn["out"]["bias"].shape[0]
    kernels = [attn[name]["kernel"].reshape(features, features) for name in ("query", "key", "value")]
    biases = [attn[name]["bias"].reshape(features) for name in ("query", "key", "value")]
    out = {"kernel": attn["out"]["kernel"].reshape(features, features), "bias": attn["out"]["bias"]}
    return {"qkv": {"kernel": np.hstack(kernels), "bias": np.hstack(biases)}, "out": out}


def _stacked(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    return _map(lambda *arrays: np.stack(arrays), *blocks)


def _map(function: Any, *trees: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _map(function, *(tree[key] for tree in trees))
        if isinstance(trees[0][key], dict)
        else function(*(tree[key] for tree in trees))
        for key in trees[0]
    }
