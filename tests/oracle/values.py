"""Reading and placing values for the oracles, with Flax and TensorStore alone: nothing here imports `migrate`."""

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


def flat(tree: Mapping[str, Any], prefix: KeyPath = ()) -> Leaves:
    """Leaves of nested dicts by key path."""
    leaves: Leaves = {}
    for key, value in tree.items():
        below = flat(value, (*prefix, str(key))) if isinstance(value, Mapping) else {(*prefix, str(key)): value}
        leaves.update(below)
    return leaves


def fill(module: nnx.Module, leaves: Leaves, prefix: KeyPath = ()) -> None:
    """Puts values into a module's Variables; all but random streams must be there, in the right shape and dtype."""
    wanted = {tuple(map(str, path)): variable for path, variable in nnx.to_flat_state(nnx.state(module))}
    wanted = {path: variable for path, variable in wanted.items() if "rngs" not in path}
    given = {path[len(prefix) :]: value for path, value in leaves.items() if path[: len(prefix)] == prefix}
    assert wanted.keys() == given.keys()
    for path, variable in wanted.items():
        old, new = variable[...], np.asarray(given[path])
        assert (old.shape, old.dtype) == (new.shape, new.dtype), path
        variable.set_value(jax.numpy.asarray(new))
