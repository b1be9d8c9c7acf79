"""The leaves of a pytree in JAX's order, which is the order in which Equinox writes arrays and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrate.template.flatten import flatten, key_path_of
from migrate.template.parts import modules_in
from migrate.template.tracing import template_callable, trace
from migrate.tree import Container, KeyPath


@dataclass(frozen=True, slots=True)
class LeafOrder:
    """The leaves of a pytree that Equinox writes.

    Attributes:
      leaves: the key path and the shape of each, in order.
      containers: the kinds of the nodes above them that are not dicts.
    """

    leaves: Sequence[tuple[KeyPath, tuple[int, ...]]]
    containers: Mapping[KeyPath, Container]


def leaf_order(spec: str, args: Mapping[str, Any] | None = None) -> LeafOrder | None:
    """Returns the leaves of the pytree that a callable returns; None if it has NNX modules, whose order is their own.

    Functions and other leaves that are no arrays or numbers are left out, as Equinox does.

    Raises:
      CheckpointError: the callable cannot be imported or called (`InvalidTemplate`).
    """

    def look(result: Any) -> LeafOrder | None:
        import jax

        if any(True for _ in modules_in(result)):
            return None
        pairs, _ = jax.tree_util.tree_flatten_with_path(result)
        written = [(key_path_of(path), value) for path, value in pairs if _is_written(value)]
        leaves = [(path, tuple(getattr(value, "shape", ()))) for path, value in written]
        kinds = flatten(result, boxed=True).tree.containers
        return LeafOrder(leaves, {node: kind for node, kind in kinds.items() if _is_complete(node, leaves)})

    return trace(spec, template_callable(spec, args), look)


def _is_complete(node: KeyPath, leaves: Sequence[tuple[KeyPath, tuple[int, ...]]]) -> bool:
    """Whether every element of a sequence has a leaf; a list of layers and functions is read as a dict."""
    depth = len(node)
    below = {path[depth] for path, _ in leaves if len(path) > depth and path[:depth] == node}
    return bool(below) and below == {str(index) for index in range(len(below))}


def _is_written(value: Any) -> bool:
    return isinstance(value, bool | int | float | complex) or (hasattr(value, "shape") and hasattr(value, "dtype"))
