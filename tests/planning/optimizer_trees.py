"""Optax states in the text notation of `tests.planning.trees`."""

import jax
import numpy as np

from migrate.template.flatten import flatten
from migrate.tree import format_path


def texts(pytree):
    """Returns the key paths and leaves of a pytree in the notation of `tests.planning.trees`."""
    return {format_path(path): _text(leaf) for path, leaf in flatten(pytree, boxed=True).tree.leaves.items()}


def _text(leaf):
    if leaf.aval is None:
        return "{}" if leaf.kind == "empty" else leaf.kind
    return f"{leaf.aval.dtype}:{'scalar' if leaf.kind == 'scalar' else ','.join(map(str, leaf.aval.shape))}"


def state(tx, shapes, *, params="params", opt_state="opt_state"):
    """Returns a training state: params of these shapes (`{"dense/kernel": (4, 6)}`) and the state of `tx` for them."""
    tree = nested({path: jax.ShapeDtypeStruct(shape, np.float32) for path, shape in shapes.items()})
    leaves = {f"{params}/{path}": text for path, text in texts(tree).items()}
    return leaves | {f"{opt_state}/{path}": text for path, text in texts(jax.eval_shape(tx.init, tree)).items()}


def nested(flat):
    tree = {}
    for path, value in flat.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value
    return tree
