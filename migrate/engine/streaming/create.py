"""Values of leaves that have no source: zeros, ones, constants, RNG streams, and the model's own initial values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from migrate import dtypes
from migrate.codes import LossyCast
from migrate.dtypes import kind
from migrate.engine.streaming.evaluate import EMPTY
from migrate.errors import RefusedError
from migrate.formats.base import Value
from migrate.ops.values import convert, only_rounded
from migrate.planning.model import Created, Plan
from migrate.tree import AbstractArray, KeyPath, format_path

GROUP_BYTES = 256 << 20
"""Leaves that the model initializes are computed in groups of up to this size: compiling is slow, memory is limited."""

Values = Mapping[KeyPath, Value]


def creations(plan: Plan) -> Iterator[tuple[tuple[Created, ...], Callable[[], Values]]]:
    """Groups of created leaves, each with a function that computes their values; values depend on the plan alone.

    The function raises CheckpointError if the model's initializer fails (`InvalidTemplate`).
    """
    initialized = [c for c in plan.created if c.init is not None and c.init.kind == "template"]
    for creation in plan.created:
        if creation not in initialized:
            yield (creation,), partial(_single, creation)
    for group in _groups(initialized):
        yield tuple(group), partial(_from_template, plan, group)


def _single(creation: Created) -> Values:
    return {creation.target: _value(creation)}


def _from_template(plan: Plan, group: Sequence[Created]) -> Values:
    from migrate.template import initial_values

    assert plan.template is not None
    paths = [creation.target for creation in group]
    target = plan.rules.target
    values = initial_values(plan.template, target.args, paths, target.layout or "state")
    return {path: values[path] for path in paths}


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

        return rng_value(leaf, creation.named or creation.target, int(creation.init.value or 0))
    return _filled(leaf.aval, fill_value(creation))


def fill_value(creation: Created) -> Value:
    """The number that fills a created array; None where its elements differ.

    Raises:
      RefusedError: the number is beyond the range of the leaf's dtype (`LossyCast`).
    """
    if creation.init is None or creation.init.kind in ("rng", "template"):
        return None
    constant = {"zeros": 0, "ones": 1}.get(creation.init.kind, creation.init.value)
    _refuse_beyond_range(creation, constant)
    return constant


def _refuse_beyond_range(creation: Created, constant: Value) -> None:
    """Refuses a constant beyond the range of a floating-point dtype; planning checks integers, but has no NumPy."""
    import numpy as np

    aval = creation.leaf.aval
    if aval is None or kind(aval.dtype) not in ("float", "complex"):
        return
    value = np.asarray(float(constant))
    if not only_rounded(value, convert(value, aval.dtype).real):
        raise RefusedError(
            LossyCast.at(
                f"`{format_path(creation.target)}` is {creation.leaf} and cannot hold a value near {constant}",
                span=creation.rule,
                paths=[format_path(creation.target)],
            )
        )


def _filled(aval: AbstractArray, constant: Value) -> Value:
    import numpy as np

    return np.full(aval.shape, constant, dtypes.to_numpy(aval.dtype))
