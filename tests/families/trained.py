"""Training states of MaxText, params with Adam's moments, which move to another JAX library and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from tests.bundled.migrating import leaves, save
from tests.families import maxtext_trees
from tests.families.check import relative
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


def constant(row: Row, value: float) -> dict[str, Any]:
    """Returns a tree whose params have one value."""
    return {"params": jax.tree.map(lambda array: np.full_like(array, value), make(row.name)["params"])}


def followed(
    moment: str,
    moved: Mapping[str, np.ndarray[Any, Any]],
    ones: Mapping[str, np.ndarray[Any, Any]],
    zeros: Mapping[str, np.ndarray[Any, Any]],
) -> dict[str, np.ndarray[Any, Any]]:
    """Returns what a moment becomes where its values, moved as params, become `moved`.

    Rules for params make `r * p + c` of each param `p`, so that its gradient becomes `g / r`: the first moment is
    divided by `r`, and the second by its square. Both constants are known from params that are one and zero.
    """
    power = MOMENTS.index(moment) + 1
    factors = {name: ones[name] - zeros[name] for name in moved}
    return {name: (moved[name] - zeros[name]) / factors[name] ** (power + 1) for name in moved}


def moments(path: Path, moment: str) -> dict[str, np.ndarray[Any, Any]]:
    """Returns a moment of a migrated checkpoint by the key paths of the params."""
    below = f"optimizer/opt_state/0/{moment}/"
    return {name.removeprefix(below): array for name, array in leaves(path).items() if name.startswith(below)}


def deviation(expected: Path, actual: Path) -> float:
    """Returns the largest relative difference of the leaves of two checkpoints."""
    one, other = leaves(expected), leaves(actual)
    return max(relative(one[name], other[name]) for name in one if one[name].ndim)


def differing(expected: Path, actual: Path) -> tuple[str, ...]:
    """Returns the key paths at which two checkpoints differ, bit for bit; the step may be of another integer type."""
    one, other = leaves(expected), leaves(actual)
    other["step"] = other["step"].astype(one["step"].dtype)
    return tuple(sorted(k for k in one.keys() | other.keys() if _bits(one.get(k)) != _bits(other.get(k))))


def _bits(array: np.ndarray[Any, Any] | None) -> tuple[str, tuple[int, ...], bytes] | None:
    return None if array is None else (str(array.dtype), array.shape, array.tobytes())
