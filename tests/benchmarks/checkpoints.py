"""Writes the checkpoints that the benchmarks migrate, with plain Orbax.

A process of its own, so that its memory is its own too.

python -m tests.benchmarks.checkpoints KIND PATH SIZE
"""

import math
import os
import sys
from pathlib import Path

from tests.benchmarks.case import LEAF_BYTES
from tests.benchmarks.growth import leaves_of
from tests.benchmarks.layers import write_layers
from tests.benchmarks.memory import WIDE

LAYERS = 12
SMALL_LEAVES = 10_000
EQUAL_LEAVES = 100
LEAF_CHUNK_BYTES = 64 << 20


def width_of(gigabytes):
    """The width of the transformer of a size."""
    return max(8, 8 * round(math.sqrt(gigabytes * 1e9 / (3 * 4 * 12 * LAYERS)) / 8))


def transformer(gigabytes):
    """A transformer with the state of adam: 12 layers whatever the size, so that only the bytes grow."""
    import numpy as np

    width, random = width_of(gigabytes), np.random.default_rng(0)

    def dense(rows, columns):
        kernel = random.standard_normal((rows, columns), dtype=np.float32)
        return {"kernel": kernel, "bias": random.standard_normal(columns, dtype=np.float32)}

    def block():
        attention = {name: dense(width, width) for name in ("query", "key", "value", "out")}
        norms = {f"norm_{i}": {"scale": np.ones(width, np.float32)} for i in (0, 1)}
        return {"attn": attention, "mlp": {"up": dense(width, 4 * width), "down": dense(4 * width, width)}, **norms}

    def params():
        blocks = {f"block_{i}": block() for i in range(LAYERS)}
        return {"embed": {"embedding": random.standard_normal((256, width), dtype=np.float32)}, **blocks}

    adam = {"count": np.int32(1000), "mu": params(), "nu": params()}
    return {"params": params(), "opt_state": [adam, None], "step": 1000}


def small_leaves(gigabytes):
    """A checkpoint of many leaves and hardly any bytes."""
    import numpy as np

    return {"params": {f"block_{i}": {"kernel": np.full((2, 2), i, np.float32)} for i in range(SMALL_LEAVES)}}


def many_leaves(gigabytes):
    """Matrices of eight rows and columns, as many as the size asks for."""
    import numpy as np

    random, count = np.random.default_rng(0), round(gigabytes * 1e9 / LEAF_BYTES)
    return {
        "params": {f"block_{i}": {"kernel": random.standard_normal((8, 8), dtype=np.float32)} for i in range(count)}
    }


def equal_leaves(gigabytes):
    """A hundred matrices."""
    import numpy as np

    random, rows = np.random.default_rng(0), int(gigabytes * 1e9 / EQUAL_LEAVES / 1024 / 4)
    blocks = {f"block_{i}": random.standard_normal((rows, 1024), dtype=np.float32) for i in range(EQUAL_LEAVES)}
    return {"params": {name: {"kernel": kernel} for name, kernel in blocks.items()}}


def one_leaf(gigabytes):
    """One matrix; `one` is saved in chunks of 64 MiB, each of which is decoded whole."""
    import numpy as np

    columns = 25_000
    return {"params": {"block_0": {"kernel": np.random.default_rng(0).standard_normal(
        (math.ceil(gigabytes * 1e9 / columns / 4), columns), dtype=np.float32
    )}}}  # fmt: skip


def wide(gigabytes):
    """Matrices that a stack joins in one array."""
    return {"params": {f"block_{i}": {"kernel": matrix} for i, matrix in enumerate(_wide(gigabytes))}}


def stacked(gigabytes):
    """The matrices of `wide` in one array of one chunk."""
    return {"params": {"kernel": _wide(gigabytes)}}


def _wide(gigabytes):
    import numpy as np

    side = round(math.sqrt(gigabytes * 1e9 / WIDE / 4))
    return np.random.default_rng(0).standard_normal((WIDE, side, side), dtype=np.float32)


def blocks(gigabytes):
    """The matrices of a transformer of 8 layers, each in an array of its own."""
    import numpy as np

    width = max(8, 8 * round(math.sqrt(gigabytes * 1e9 / 4 / (8 * 11 + 32)) / 8))
    random = np.random.default_rng(0)

    def matrix(rows, columns):
        return random.standard_normal((rows, columns), dtype=np.float32)

    def block():
        parts = {name: matrix(width, width) for name in "qkv"}
        return {**parts, "up": matrix(width, 4 * width), "down": matrix(4 * width, width)}

    return {"embed": matrix(32 * width, width), **{f"block_{i}": block() for i in range(8)}}


def stacks(gigabytes):
    """64 layers of 64 square matrices."""
    import numpy as np

    width, random = max(4, round(math.sqrt(gigabytes * 1e9 / 4 / 4096))), np.random.default_rng(0)
    names = [f"w_{n}" for n in range(64)]
    return {
        f"block_{i}": {name: random.standard_normal((width, width), dtype=np.float32) for name in names}
        for i in range(64)
    }


KINDS = {
    "sharded": blocks,
    "stacks": stacks,
    "transformer": transformer,
    "states": transformer,
    "msgpack": transformer,
    "small": small_leaves,
    "many": many_leaves,
    "many-msgpack": many_leaves,
    "equal": equal_leaves,
    "one": one_leaf,
    "one-chunk": one_leaf,
    "wide": wide,
    "stacked": stacked,
}


def over_eight_devices(tree):
    """The matrices split over a mesh of 2 × 4 devices, so that each chunk is a shard."""
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    mesh = jax.make_mesh((2, 4), ("data", "model"))
    return jax.tree.map(lambda leaf: jax.device_put(leaf, NamedSharding(mesh, PartitionSpec("data", "model"))), tree)


def main():
    kind, path, size = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    if kind == "sharded":
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
    write(kind, path, size)


def write(kind, path, size):
    """Writes a checkpoint of a kind, of about so many gigabytes."""
    if kind == "versions":
        from tests.benchmarks.version_folder import write_folder

        write_folder(path)
    elif kind == "layers":
        write_layers(path, leaves_of(size))
    elif kind.endswith("msgpack"):
        from flax import serialization

        path.write_bytes(serialization.to_bytes(KINDS[kind](size)))
    else:
        save(kind, path, KINDS[kind](size))


def save(kind, path, tree):
    """Saves a tree with Orbax."""
    import jax
    import orbax.checkpoint as ocp

    tree = jax.tree.map(lambda leaf: jax.numpy.asarray(leaf) if getattr(leaf, "shape", ()) else leaf, tree)
    if kind == "sharded":
        tree = over_eight_devices(tree)
    how = jax.tree.map(lambda _: ocp.SaveArgs(chunk_byte_size=LEAF_CHUNK_BYTES if kind == "one" else None), tree)
    ocp.PyTreeCheckpointer().save(path, tree, save_args=how)


if __name__ == "__main__":
    main()
