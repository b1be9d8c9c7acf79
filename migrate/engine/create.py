"""Values of leaves that have no source: zeros, ones, constants, RNG streams, and the model's own initial values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from migrate import dtypes
from migrate.engine.evaluate import EMPTY, as_scalar
from migrate.formats.base import Value
from migrate.planning.model import Created, Plan
from migrate.rules.model import Init
from migrate.tree import AbstractArray, AbstractLeaf, KeyPath

GROUP_BYTES = 256 << 20
"""Leaves that the model initialises are computed together up to this size: compiling is slow, memory is short."""


def created_values(plan: Plan) -> Iterator[tuple[KeyPath, Value]]:
    """Every created leaf with its value; the same plan gives the same values, bit for bit.

    Raises:
      CheckpointError: the model's initialiser fails (M408).
    """
    initialised = [c for c in plan.created if c.init is not None and c.init.kind == "template"]
    for creation in plan.created:
        if creation not in initialised:
            yield creation.target, _value(creation)
    for group in _groups(initialised):
        yield from _from_template(plan, group)


def _from_template(plan: Plan, group: Sequence[Created]) -> Iterator[tuple[KeyPath, Value]]:
    from migrate.template import initial_values

    assert plan.template is not None
    paths = [creation.target for creation in group]
    target = plan.rules.target
    values = initial_values(plan.template, target.args, paths, target.layout or "state")
    yield from ((path, values[path]) for path in paths)


def _groups(created: Sequence[Created]) -> Iterator[list[Created]]:
    group: list[Created] = []
    size = 0
    for creation in created:
        if group and size + creation.leaf.nbytes > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(creation)
        size += creation.leaf.nbytes
    if group:
        yield group


def _value(creation: Created) -> Value:
    leaf = creation.leaf
    if creation.init is None or leaf.aval is None:
        return EMPTY[leaf.container] if leaf.kind == "empty" else None
    if creation.init.kind == "rng":
        from migrate.template import rng_value

        return rng_value(leaf, creation.target, int(creation.init.value or 0))
    return _filled(leaf, leaf.aval, creation.init)


def _filled(leaf: AbstractLeaf, aval: AbstractArray, init: Init) -> Value:
    import numpy as np

    constant = {"zeros": 0, "ones": 1}.get(init.kind, init.value)
    array = np.full(aval.shape, constant, dtypes.to_numpy(aval.dtype))
    return as_scalar(array, aval.dtype) if leaf.kind == "scalar" else array
