"""The vision transformer's leaves, placed by hand where the two states of `fixtures.models.vit_mpc` expect them."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.oracle.values import REAL, Leaves, flat, read_msgpack

CASE = REAL / "transformer_mpc_first"
SOURCE = CASE / "ckpt/checkpoint_0"

Twin = Literal["list", "stacked"]

BLOCK = {
    ("norm1",): ("LayerNorm_0",),
    ("attn", "query"): ("MultiHeadDotProductAttention_0", "query"),
    ("attn", "key"): ("MultiHeadDotProductAttention_0", "key"),
    ("attn", "value"): ("MultiHeadDotProductAttention_0", "value"),
    ("attn", "out"): ("MultiHeadDotProductAttention_0", "out"),
    ("norm2",): ("LayerNorm_1",),
    ("up",): ("MlpBlock_0", "Dense_0"),
    ("down",): ("MlpBlock_0", "Dense_1"),
}


def expected_leaves(path: Path = SOURCE, twin: Twin = "list") -> Leaves:
    """Every leaf of the target; the momentum lies as its params do."""
    state = read_msgpack(path)
    leaves: Leaves = {("optimizer", "step"): np.asarray(state["step"]).astype(np.uint32)}
    leaves.update(_placed(state["params"], ("model",), twin))
    leaves.update(_placed(state["opt_state"]["0"]["trace"], ("optimizer", "opt_state", "0", "trace"), twin))
    return leaves


def _placed(params: dict[str, Any], prefix: tuple[str, ...], twin: Twin) -> Leaves:
    encoder = params["Transformer"]
    leaves = flat({"patches": params["embedding"], "norm": encoder["encoder_norm"]}, prefix)
    leaves[*prefix, "positions"] = encoder["posembed_input"]["pos_embedding"]
    blocks = [flat(encoder[f"encoderblock_{i}"]) for i in range(3)]
    for target, source in BLOCK.items():
        for name in ("scale", "bias") if len(target) == 1 and target[0].startswith("norm") else ("kernel", "bias"):
            arrays = [block[*source, name] for block in blocks]
            if twin == "stacked":
                leaves[*prefix, "blocks", *target, name] = np.stack(arrays)
            else:
                leaves.update({(*prefix, "blocks", str(i), *target, name): array for i, array in enumerate(arrays)})
    return leaves
