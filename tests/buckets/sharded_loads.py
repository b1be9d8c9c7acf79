"""Saves a root on eight host devices, or loads and resumes it there from several places; a process of its own.

    python -m tests.buckets.sharded_loads save ROOT
    python -m tests.buckets.sharded_loads load RULES ROOT...

The number of devices has to be fixed before JAX starts. `load` prints one line of JSON: for each root and each
function, the digest, the dtype and the shape of a shard of every leaf.
"""

import hashlib
import json
import os
import sys

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # the flags have to be set first
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import migrate

LAYERS, ROWS, COLUMNS = 3, 1024, 512


def mesh():
    return jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def sharding(*spec):
    return NamedSharding(mesh(), PartitionSpec(*spec))


def old():
    """Matrices in rows over all devices, and small arrays."""
    random, rows = np.random.default_rng(0), sharding(("data", "model"))
    matrices = [random.random((ROWS, COLUMNS), np.float32) for _ in range(LAYERS + 1)]
    layers = [{"w": jax.device_put(matrix, rows), "b": jax.numpy.ones(8) * n} for n, matrix in enumerate(matrices)]
    return {"layers": layers[:LAYERS], "head": layers[LAYERS], "step": 7}


def into():
    """The abstract model: stacked layers, a transposed head, biases of half the size; in columns and in blocks."""
    abstract = jax.ShapeDtypeStruct
    return {
        "w": abstract((LAYERS, ROWS, COLUMNS), np.float32, sharding=sharding(None, None, ("data", "model"))),
        "b": abstract((LAYERS, 8), jax.numpy.bfloat16, sharding=sharding(None, "model")),
        "head": abstract((COLUMNS, ROWS), np.float32, sharding=sharding("data", "model")),
        "bias": abstract((8,), np.float32, sharding=sharding()),
        "step": 0,
    }


def described(tree):
    def one(leaf):
        if not isinstance(leaf, jax.Array):
            return leaf
        shard = [str(leaf.sharding.spec), list(leaf.addressable_shards[0].data.shape), len(leaf.addressable_shards)]
        return [hashlib.sha256(np.asarray(leaf).tobytes()).hexdigest(), str(leaf.dtype), shard]

    return {jax.tree_util.keystr(path): one(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def main(verb, *arguments):
    if verb == "save":
        record = migrate.Metadata.of(old(), name="lm", version=1, step=7)
        with ocp.CheckpointManager(arguments[0]) as manager:
            manager.save(7, args=ocp.args.StandardSave(old()), custom_metadata=record)
        return
    rules, *roots = arguments
    found = {}
    for root in roots:
        resumed = migrate.resume(root, rules=rules, into=into())
        assert resumed is not None
        assert 7 == resumed.step
        loaded = migrate.load(root, os.path.join(rules, "0002.yaml"), into=into())
        found[root] = {"load": described(loaded), "resume": described(resumed.state)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
