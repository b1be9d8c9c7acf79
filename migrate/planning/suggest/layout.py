"""Classifies every leaf of a checkpoint or template, and locates the model's arrays inside the model.

A leaf is an array of the model, optimizer state, a step, a random stream, or training metrics. An array's key path
inside the model does not depend on the training state or format that it was saved in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from migrate.codes import InvalidUsage
from migrate.dtypes import key_impl
from migrate.errors import UsageError
from migrate.formats.reader import AbstractCheckpoint
from migrate.knowledge.naming import COLLECTIONS, PARAM_ROOTS, TRAINING_STATES, TRANSIENT_COLLECTIONS, training_state
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, KeyPath

Role = Literal["model", "optimizer", "step", "rng", "metrics"]

_METRICS = frozenset(name for state in TRAINING_STATES for name, part in state.others.items() if part == "metrics") | {
    "metrics"
}
_RNG_NAMES = frozenset(name for state in TRAINING_STATES for name, part in state.others.items() if part == "rng")
_DEEPEST_ROOT = 3
"""The maximum number of levels (an item's name, an index) above the params."""


@dataclass(frozen=True, slots=True)
class ClassifiedLeaf:
    """A leaf with data and its role.

    Attributes:
      path: its key path.
      place: its key path inside the model; for other roles, the key path without names of parts.
      kind: the type of its Variable, where the checkpoint or template records it.
    """

    path: KeyPath
    place: KeyPath
    role: Role
    kind: str | None
    aval: AbstractArray


@dataclass(frozen=True, slots=True)
class ClassifiedTree:
    """A checkpoint or template: every leaf with data, and a name for the whole."""

    leaves: tuple[ClassifiedLeaf, ...]
    name: str

    def of(self, *roles: Role) -> tuple[ClassifiedLeaf, ...]:
        """Returns the leaves of these roles."""
        return tuple(leaf for leaf in self.leaves if leaf.role in roles)


def lay_out(tree: AbstractTree, variables: Mapping[KeyPath, str] | None = None) -> ClassifiedTree:
    """Classifies each leaf with data.

    Args:
      tree: the tree of a checkpoint or template.
      variables: the names of Variable types, which only templates provide.
    """
    known = variables or {}
    leaves: dict[tuple[Role, KeyPath], ClassifiedLeaf] = {}
    for path, found in tree.leaves.items():
        if not found.has_data or found.aval is None:
            continue
        role = _role(path, found, known.get(path))
        place, collection = _place(path) if role in ("model", "rng") else (path, None)
        kind = known.get(path) or (COLLECTIONS.get(collection) if collection else None)
        if (role, place) in leaves:  # two collections of one module have arrays of one name
            place = (*place[:-1], f"{place[-1]} of {collection}")
        leaves[role, place] = ClassifiedLeaf(path, place, role, kind, found.aval)
    return ClassifiedTree(tuple(leaves.values()), _name(tree))


def refuse_single_array(source: AbstractCheckpoint) -> None:
    """Refuses a checkpoint that is one array without a name, whose part of a model nothing tells.

    Raises:
      UsageError: it is one (`InvalidUsage`).
    """
    if () in source.tree.leaves:
        message = f"`{source.path}` is a single array, which has no key path"
        advice = 'write the rule that gives it one, `- ". -> params/embedding"`, with its key path in the new model'
        raise UsageError(InvalidUsage.at(message, help=advice))


def is_transient(leaf: ClassifiedLeaf) -> bool:
    """Whether it belongs to one run of the model: a cache, or intermediate values."""
    return any(segment in TRANSIENT_COLLECTIONS for segment in leaf.path[:2])


def _role(path: KeyPath, leaf: AbstractLeaf, variable: str | None) -> Role:
    if _is_rng(path, leaf, variable):
        return "rng"
    if path[-1] == "step" and variable in (None, "OptState") and _counts(leaf):
        return "step"
    if variable is not None:
        return "optimizer" if variable.startswith("Opt") else "model"
    if any(segment in _METRICS for segment in path[:2]):
        return "metrics"
    return "optimizer" if _is_optimizer(path) else "model"


def _counts(leaf: AbstractLeaf) -> bool:
    """Whether it is a number, or an integer for each of several models."""
    return leaf.aval is not None and (leaf.aval.shape == () or (len(leaf.aval.shape) == 1 and "int" in leaf.aval.dtype))


def _is_rng(path: KeyPath, leaf: AbstractLeaf, variable: str | None) -> bool:
    if variable in ("RngKey", "RngCount", "RngState"):
        return True
    if leaf.aval is None or variable is not None:
        return False
    words = leaf.aval.dtype == "uint32" and leaf.aval.shape in ((2,), (4,))
    stream = "rngs" in path[:-1] and (words or path[-1] == "count")
    return key_impl(leaf.aval.dtype) is not None or stream or (words and path[-1] in _RNG_NAMES)


def _is_optimizer(path: KeyPath) -> bool:
    top = path[: _DEEPEST_ROOT + 1]
    if "target" in path[1 : len(top)] and top[top.index("target") - 1] == "optimizer":  # flax.optim held the params
        return False
    return any(segment in ("opt_state", "optimizer", "ema_params") for segment in top)


def _place(path: KeyPath) -> tuple[KeyPath, str | None]:
    """Returns the key path without the names of parts and collections, and the collection."""
    for depth, segment in enumerate(path[: min(_DEEPEST_ROOT, len(path) - 1)]):
        if segment in PARAM_ROOTS or segment in COLLECTIONS:
            below = path[depth + 1 :]
            collection = segment if segment in COLLECTIONS else None
            if len(below) > 1 and below[0] in COLLECTIONS:  # a training state can hold all variables as its params
                collection, below = below[0], below[1:]
            return path[:depth] + below, collection
    return path, None


def _name(tree: AbstractTree) -> str:
    """Returns a short description of the whole tree."""
    tops = frozenset(path[0] for path, leaf in tree.leaves.items() if path and leaf.kind != "none")
    state = training_state(tops)
    if state is not None:
        return state.name
    return "NNX state" if any(leaf.box for leaf in tree.leaves.values()) else "a tree of arrays"
