"""Saves a checkpoint sharded over eight devices, or restores some there and prints their layouts; a process of its own.

python tests/engine/eight_devices.py save|restore PATH...
"""

import hashlib
import json
import os
import sys

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # the flags have to be set first
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def tree():
    mesh = Mesh(np.array(jax.devices()).reshape(8), ("x",))
    rows = NamedSharding(mesh, PartitionSpec("x"))
    return {
        "kernel": jax.device_put(jnp.arange(16 * 8, dtype=jnp.float32).reshape(16, 8), rows),
        "bias": jax.device_put(jnp.arange(8, dtype=jnp.bfloat16), NamedSharding(mesh, PartitionSpec())),
    }


def describe(leaf):
    return {
        "mesh": dict(leaf.sharding.mesh.shape),
        "spec": [list(e) if isinstance(e, tuple) else e for e in leaf.sharding.spec],
        "shard": list(leaf.addressable_shards[0].data.shape),
        "sha256": hashlib.sha256(np.asarray(leaf).tobytes()).hexdigest(),
    }


def main(verb, *paths):
    with ocp.StandardCheckpointer() as checkpointer:
        for path in map(os.path.abspath, paths):
            if verb == "save":
                checkpointer.save(path, tree())
            else:
                print(json.dumps({name: describe(leaf) for name, leaf in checkpointer.restore(path).items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
