"""Restores a checkpoint in every way that Orbax offers and prints each leaf's digest as JSON; run with a device count.

    python tests/engine/restore_matrix.py DEVICES ITEM_DIRECTORY MANAGER_ROOT

Both are local directories or URLs of a bucket. The number of devices has to be fixed before JAX starts, so more than
one need a process of their own.
"""

import hashlib
import json
import os
import sys

if __name__ == "__main__":
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={sys.argv[1]}"
    os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # the flags have to be set first
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint.experimental import v1


def words(leaf):
    if hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(leaf))
    return np.asarray(leaf)


def digests(tree):
    named = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): hashlib.sha256(
            f"{words(leaf).dtype}{words(leaf).shape}".encode() + np.ascontiguousarray(words(leaf)).tobytes()
        ).hexdigest()
        for path, leaf in named
    }


def abstract(tree, sharding=None):
    """What a user hands to a typed restore: ShapeDtypeStructs, Python numbers as they are."""

    def one(leaf):
        if not isinstance(leaf, jax.Array):
            return leaf
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(one, tree)


def restored(place, root):
    """The digests of the leaves that each way restores from an item, and from a step of a manager."""
    item, root = (one if "://" in one else os.path.abspath(one) for one in (place, root))
    everywhere = NamedSharding(Mesh(jax.devices(), ("x",)), PartitionSpec())
    standard = ocp.StandardCheckpointer()
    untyped = standard.restore(item)
    loose, placed = abstract(untyped), abstract(untyped, everywhere)
    restore_args = ocp.checkpoint_utils.construct_restore_args(placed)
    manager = ocp.CheckpointManager(root)
    results = {
        "standard untyped": untyped,
        "standard typed without shardings": standard.restore(item, loose),
        "standard typed with shardings": standard.restore(item, placed),
        "pytree untyped": ocp.PyTreeCheckpointer().restore(item),
        "pytree typed with shardings": ocp.PyTreeCheckpointer().restore(item, item=placed, restore_args=restore_args),
        "manager untyped": manager.restore(0, args=ocp.args.StandardRestore()),
        "manager without arguments": manager.restore(0),
        "manager typed without shardings": manager.restore(0, args=ocp.args.StandardRestore(loose)),
        "manager typed with shardings": manager.restore(0, args=ocp.args.StandardRestore(placed)),
        "v1 untyped": v1.load(item),
        "v1 typed without shardings": v1.load(item, loose),
        "v1 typed with shardings": v1.load(item, placed),
        "v1 of the step": v1.load(os.path.join(root, "0")),
    }
    return {name: digests(tree) for name, tree in results.items()}


def main(devices, item, root):
    assert jax.device_count() == devices
    print(json.dumps(restored(item, root)))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
