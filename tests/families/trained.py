"""Training states of MaxText, params with Adam's moments, which move to another JAX library and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from tests.bundled.migrating import leaves, save
from tests.families import maxtext_trees
from tests.families.rows import LENGTH, VOCABULARY, Row

MOMENTS = ("mu", "nu")
_COUNT = 7


def make(row: str) -> dict[str, Any]:
    """Returns the initial state of a training run with MaxText's optimizer."""
    params = maxtext_trees.make(row)["params"]
    return {"params": params, "opt_state": optax.adamw(lambda _: 1e-3).init(params), "step": np.int32(0)}


def state(row: Row) -> dict[str, Any]:
    """Returns such a state with random params and moments."""
    rng = np.random.default_rng(0)

    def normal(array: Any) -> np.ndarray[Any, Any]:
        return rng.normal(scale=0.3, size=array.shape).astype(array.dtype)

    return jax.tree.map(lambda array: normal(array) if array.ndim else np.int32(_COUNT), make(row.name))


def save_state(row: Row, folder: Path) -> Path:
    """Saves such a state with plain Orbax; returns the checkpoint."""
    return save(folder.absolute(), state(row))


def inputs() -> dict[str, np.ndarray[Any, Any]]:
    """Returns tokens."""
    return {"input_ids": np.random.default_rng(0).integers(3, VOCABULARY, (2, LENGTH))}


def as_params(row: Row, moment: str) -> dict[str, Any]:
    """Returns a tree whose params are a moment of `state(row)`, to which the rules for params apply."""
    return {"params": getattr(state(row)["opt_state"][0], moment)}


def moments(path: Path, moment: str) -> dict[str, np.ndarray[Any, Any]]:
    """Returns a moment of a migrated checkpoint by the key paths of the params."""
    below = f"optimizer/opt_state/0/{moment}/"
    return {name.removeprefix(below): array for name, array in leaves(path).items() if name.startswith(below)}


def differing(expected: Path, actual: Path) -> tuple[str, ...]:
    """Returns the key paths at which two checkpoints differ, bit for bit; the step may be of another integer type."""
    one, other = leaves(expected), leaves(actual)
    other["step"] = other["step"].astype(one["step"].dtype)
    return tuple(sorted(k for k in one.keys() | other.keys() if _bits(one.get(k)) != _bits(other.get(k))))


def _bits(array: np.ndarray[Any, Any] | None) -> tuple[str, tuple[int, ...], bytes] | None:
    return None if array is None else (str(array.dtype), array.shape, array.tobytes())
