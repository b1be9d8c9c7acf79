"""A checkpoint as large models have them: 10,000 leaves, an optimizer, stored by Flax."""

from functools import cache
from pathlib import Path

from migrate.codes import ReaderAssumption
from migrate.formats.reader import AbstractCheckpoint
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, Sharding, Storage

LAYERS, EXPERTS = 48, 16
PARTS = {"q": (1024, 1024), "k": (1024, 256), "v": (1024, 256), "o": (1024, 1024)}
SHARDING = Sharding((("data", 8), ("model", 4)), (None, ("model",)))


def leaf(*shape, dtype="bfloat16", sharding=None, box=None):
    storage = Storage("zarr2", tuple(max(size // 4, 1) for size in shape), "zstd:1")
    return AbstractLeaf("array", AbstractArray(shape, dtype), box=box, storage=storage, sharding=sharding)


def params():
    found = {("embed", "embedding"): leaf(32000, 1024, sharding=SHARDING), ("norm", "scale"): leaf(1024)}
    for layer in range(LAYERS):
        at = ("layers", str(layer))
        found |= {(*at, "attn", name, "kernel"): leaf(*shape) for name, shape in PARTS.items()}
        for expert in range(EXPERTS):
            expert_at = (*at, "moe", f"expert_{expert}")
            # the last layer is wider: it must not vanish in the fold
            width = 4096 if layer == LAYERS - 1 else 2048
            found |= {(*expert_at, name, "kernel"): leaf(1024, width) for name in ("up", "gate", "down")}
            found[*expert_at, "scale"] = leaf(1)
    return found


@cache
def checkpoint():
    """10,000 leaves and a few more."""
    model = params()
    leaves = {("params", *path): leaf for path, leaf in model.items()}
    for slot in ("mu", "nu"):
        leaves |= {("opt_state", "0", slot, *path): found for path, found in model.items()}
    leaves["opt_state", "0", "count"] = leaf(dtype="int32")
    leaves["opt_state", "1"] = AbstractLeaf("none")
    leaves[("step",)] = AbstractLeaf("scalar", AbstractArray((), "int64"))
    for index in range(2 * 3 * 61):
        leaves["batch_stats", f"head_{'abc'[index % 3]}_{index}", "mean"] = leaf(index + 1, box="value")
    notes = [
        ReaderAssumption.at(f"`{name}` was written without its dtype's name (`|V2`); read as bfloat16", paths=[name])
        for name in (f"params/layers/{number}/attn/q/kernel" for number in range(LAYERS))
    ]
    return AbstractCheckpoint(
        Path("run/4000"),
        "orbax ocdbt",
        {"": AbstractTree.build(leaves.items())},
        era="orbax-checkpoint 0.5.16 to 0.11.8",
        step=4000,
        steps=(2000, 4000),
        notes=tuple(notes),
    )
