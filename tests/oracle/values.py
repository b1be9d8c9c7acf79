"""Reading and placing values for the oracles, with Flax and TensorStore alone: nothing here imports `migrate`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx, serialization

KeyPath = tuple[str, ...]
Leaves = dict[KeyPath, np.ndarray]
REAL = Path(__file__).resolve().parents[3] / "shared" / "real"
FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


def read_msgpack(path: Path) -> dict[str, Any]:
    """The nested dict of a file that `flax.serialization` or `flax.training.checkpoints` wrote."""
    return serialization.msgpack_restore(path.read_bytes())


def read_ocdbt(path: Path, name: str) -> np.ndarray:
    """One array of an Orbax checkpoint; the name is its key path joined by dots."""
    import tensorstore as ts

    kvstore = {"driver": "ocdbt", "base": f"file://{path.resolve()}/", "path": f"{name}/"}
    return np.asarray(ts.open({"driver": "zarr", "kvstore": kvstore}).result().read().result())


def read_state(path: Path) -> dict[str, Any]:
    """The nested dict of a msgpack file, or of an Orbax item in OCDBT, there without leaves that have no data."""
    if path.is_file():
        return read_msgpack(path)
    state: dict[str, Any] = {}
    for entry in json.loads((path / "_METADATA").read_text())["tree_metadata"].values():
        if entry["value_metadata"]["value_type"] != "None":
            keys = [key["key"] for key in entry["key_metadata"]]
            node = state
            for key in keys[:-1]:
                node = node.setdefault(key, {})
            node[keys[-1]] = read_ocdbt(path, ".".join(keys))
    return state


def flat(tree: Mapping[str, Any], prefix: KeyPath = ()) -> Leaves:
    """Leaves of nested dicts by key path."""
    leaves: Leaves = {}
    for key, value in tree.items():
        below = flat(value, (*prefix, str(key))) if isinstance(value, Mapping) else {(*prefix, str(key)): value}
        leaves.update(below)
    return leaves


def fill(abstract: Any, leaves: Leaves, prefix: KeyPath = ()) -> Any:
    """A module or optimizer made under `nnx.eval_shape`, with values in the place of abstract arrays.

    All but random streams must be there, in the right shape and dtype; random streams get keys and counts of zero.
    """
    graphdef, state = nnx.split(abstract)
    given = {path[len(prefix) :]: value for path, value in leaves.items() if path[: len(prefix)] == prefix}
    filled = {
        path: _value(variable, given.pop(tuple(map(str, path)), None)) for path, variable in nnx.to_flat_state(state)
    }
    assert not given
    return nnx.merge(graphdef, nnx.from_flat_state(filled))


def _value(variable: nnx.Variable, value: np.ndarray | None) -> nnx.Variable:
    shape = variable.get_value().shape
    if isinstance(variable, nnx.RngKey):
        return variable.replace(jax.random.wrap_key_data(np.zeros((*shape, 2), np.uint32)))
    if isinstance(variable, nnx.RngCount):
        return variable.replace(jax.numpy.zeros(shape, np.uint32))
    array = np.asarray(value)
    assert (array.shape, array.dtype) == (shape, variable.get_value().dtype)
    return variable.replace(jax.numpy.asarray(array))
