"""SCICO's DnCNN weights, placed by hand where `fixtures.models.dncnn:make_model` expects them."""

from pathlib import Path

from tests.oracle.values import REAL, Leaves, read_msgpack

CASE = REAL / "scico_dncnn6L"
SOURCE = CASE / "ckpt/dncnn6L.mpk"


def expected_leaves(path: Path = SOURCE) -> Leaves:
    """Every leaf of the target."""
    source = read_msgpack(path)
    params, stats = source["params"], source["batch_stats"]
    leaves: Leaves = {
        ("first", "kernel"): params["conv_start"]["kernel"],
        ("last", "kernel"): params["conv_end"]["kernel"],
    }
    for i in range(4):
        block, running = params[f"ConvBNBlock_{i}"], stats[f"ConvBNBlock_{i}"]["BatchNorm_0"]
        leaves["blocks", str(i), "conv", "kernel"] = block["Conv_0"]["kernel"]
        leaves["blocks", str(i), "norm", "scale"] = block["BatchNorm_0"]["scale"]
        leaves["blocks", str(i), "norm", "bias"] = block["BatchNorm_0"]["bias"]
        leaves["blocks", str(i), "norm", "mean"] = running["mean"]
        leaves["blocks", str(i), "norm", "var"] = running["var"]
    return leaves
