"""Restores a checkpoint by plain Orbax and prints a digest of its leaves.

    python restore.py DIRECTORY [MODULE:CALLABLE]

It runs in either environment, and imports nothing of migrate.
"""

import hashlib
import importlib
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx


def abstract_of(name):
    """The abstract state of a template, as a training script passes it to Orbax."""
    module, _, function = name.partition(":")
    state = nnx.eval_shape(getattr(importlib.import_module(module), function))
    return {name: nnx.state(part) for name, part in state.items()}


def digest(tree):
    """A digest of the key paths, dtypes, shapes and bytes of a tree."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        is_key = jax.dtypes.issubdtype(getattr(leaf, "dtype", type(leaf)), jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        found.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()


if __name__ == "__main__":
    directory, *template = sys.argv[1:]
    with ocp.StandardCheckpointer() as checkpointer:
        print(digest(checkpointer.restore(directory, *map(abstract_of, template))))
