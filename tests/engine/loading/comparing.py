"""Compares loaded leaves with those that Orbax restores: types, shardings, dtypes, shapes and bits."""

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import NamedSharding, PartitionSpec


def placed(leaf, mesh):
    """An abstract array on every device of a mesh, or on the first device."""
    if not isinstance(leaf, jax.ShapeDtypeStruct | jax.Array):
        return leaf
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    where = NamedSharding(mesh, PartitionSpec()) if mesh else one
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)


def bits(leaf):
    if hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(leaf))
    return np.asarray(leaf)


def differs(expected, actual):
    """Whether two leaves differ in type, sharding, dtype, shape or bits."""
    if type(expected) is not type(actual) or getattr(expected, "dtype", None) != getattr(actual, "dtype", None):
        return True
    if isinstance(expected, jax.Array) and expected.sharding != actual.sharding:
        return True
    one, other = bits(expected), bits(actual)
    return one.shape != other.shape or one.tobytes() != other.tobytes()


def compared(expected, actual):
    """The number of leaves, and the key paths of those that differ."""
    pairs = zip(*(jax.tree_util.tree_flatten_with_path(tree)[0] for tree in (expected, actual)), strict=True)
    rows = [(jax.tree_util.keystr(path), path == other, one, two) for (path, one), (other, two) in pairs]
    return {"leaves": len(rows), "differ": [name for name, same, one, two in rows if not same or differs(one, two)]}


def restored_pytree(copy, abstract):
    """The typed restore of the handler that takes strings."""
    restore_args = ocp.checkpoint_utils.construct_restore_args(abstract)
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        return checkpointer.restore(copy.absolute(), args=ocp.args.PyTreeRestore(abstract, restore_args=restore_args))
