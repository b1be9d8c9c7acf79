"""A PPO agent's leaves, placed by hand where `fixtures.models.ppo:make_model` expects them."""

from pathlib import Path

from tests.oracle.values import REAL, Leaves, read_ocdbt

CASE = REAL / "dronetrain"
SOURCE = CASE / "ckpt"


def expected_leaves(path: Path = SOURCE) -> Leaves:
    """Every leaf of the target."""
    leaves: Leaves = {
        ("normalizer", name): read_ocdbt(path, f"0.{name}") for name in ("count", "mean", "std", "summed_variance")
    }
    for index, (part, layers) in enumerate({"policy": 3, "value": 6}.items(), start=1):
        for layer in range(layers):
            for name in ("kernel", "bias"):
                source = f"{index}.params.hidden_{layer}.{name}"
                leaves[part, "layers", str(layer), name] = read_ocdbt(path, source)
    return leaves
