"""Flattens a pytree as Orbax does: stored names, container kinds, and leaves for `None` and empty containers.

Values may be tracers, so that a template can be described while it is being traced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from migrate import dtypes
from migrate.formats.canonical import canonical
from migrate.sharding import spec_from_partition
from migrate.template.parts import is_variable, uses_flax
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, Container, KeyPath, Sharding

_NUMBERS = {bool: "bool", int: "int64", float: "float64"}
"""The dtypes in which Orbax stores Python's numbers."""


@dataclass(frozen=True, slots=True)
class LeafValue:
    """A leaf's value or tracer, and the Variable that contains it, or None."""

    value: Any
    variable: Any = None


@dataclass(frozen=True, slots=True)
class FlattenedPytree:
    """A flattened pytree.

    Attributes:
      tree: the abstract tree, with canonical key paths.
      entries: the value of each leaf of `tree`.
      unsupported: leaves that no checkpoint can contain, with their descriptions.
      lone: the roots (one per item) that are leaves or have no leaves; Orbax refuses them.
    """

    tree: AbstractTree
    entries: Mapping[KeyPath, LeafValue]
    unsupported: Mapping[KeyPath, str] = field(default_factory=dict)
    lone: tuple[KeyPath, ...] = ()

    @classmethod
    def joined(cls, items: Mapping[str, FlattenedPytree]) -> FlattenedPytree:
        """Returns the items of a step as one tree, each below its name."""
        trees = [flat.tree.prefixed((name,)) for name, flat in items.items()]
        return cls(
            AbstractTree.build(
                [pair for tree in trees for pair in tree.leaves.items()],
                {path: kind for tree in trees for path, kind in tree.containers.items()},
            ),
            {(name, *path): entry for name, flat in items.items() for path, entry in flat.entries.items()},
            {(name, *path): what for name, flat in items.items() for path, what in flat.unsupported.items()},
            tuple((name, *path) for name, flat in items.items() for path in flat.lone),
        )

    def rows(self) -> Iterator[tuple[AbstractLeaf, LeafValue]]:
        """Yields each leaf with its value."""
        return ((leaf, self.entries[path]) for path, leaf in self.tree.leaves.items())


@dataclass(frozen=True, slots=True)
class _Nodes:
    """The Variables and sequences of a pytree by JAX key path."""

    variables: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    sequences: dict[tuple[Any, ...], Container] = field(default_factory=dict)


def flatten(pytree: Any, *, boxed: bool) -> FlattenedPytree:
    """Flattens a pytree as Orbax does.

    Args:
      pytree: containers, NNX states and Variables, arrays or tracers, Python numbers, strings.
      boxed: whether a Variable adds its level `value`; if not, the tree is that of `nnx.to_pure_dict`.
    """
    import jax

    nodes = _Nodes()

    def stop(path: tuple[Any, ...], node: Any) -> bool:
        _remember(nodes, path, node)
        return _is_empty(node)

    pairs, _ = jax.tree_util.tree_flatten_with_path(pytree, is_leaf=stop, is_leaf_takes_path=True)
    found = {_stored(path, nodes, boxed=boxed): (value, *_holder(path, nodes)) for path, value in pairs}
    leaves = {path: _describe(value, variable if direct else None) for path, (value, variable, direct) in found.items()}
    containers = {_stored(path, nodes, boxed=boxed): kind for path, kind in nodes.sequences.items()}
    known = [(path, leaf) for path, leaf in leaves.items() if leaf is not None]
    tree, origin = canonical(AbstractTree.build(known, containers))
    entries = {path: LeafValue(*found[stored][:2]) for path, stored in origin.items()}
    unsupported = {path: _describe_unsupported(found[path][0]) for path, leaf in leaves.items() if leaf is None}
    return FlattenedPytree(tree, entries, unsupported, ((),) if () in tree.leaves else ())


def leaf_paths(pytree: Any, *, boxed: bool) -> list[KeyPath | None]:
    """Returns the canonical key path of each leaf in JAX's order; None for leaves that no checkpoint contains."""
    import jax

    leaves, structure = jax.tree.flatten(pytree)
    marks = [jax.ShapeDtypeStruct((), bool) for _ in leaves]
    flat = flatten(jax.tree.unflatten(structure, marks), boxed=boxed)
    paths = {id(entry.value): path for path, entry in flat.entries.items()}
    return [paths.get(id(mark)) for mark in marks]


def _remember(nodes: _Nodes, path: tuple[Any, ...], node: Any) -> None:
    if is_variable(node):
        nodes.variables[path] = node
    elif isinstance(node, list | tuple) and not hasattr(node, "_fields") and node:
        nodes.sequences[path] = "list" if isinstance(node, list) else "tuple"


def _is_empty(node: Any) -> bool:
    import jax

    level = jax.tree_util.default_registry.flatten_one_level(node)
    return level is not None and not list(level[0])


def key_path_of(path: tuple[Any, ...]) -> KeyPath:
    """Returns the key path of a JAX key path."""
    return tuple(map(_name, path))


def _stored(path: tuple[Any, ...], nodes: _Nodes, *, boxed: bool) -> KeyPath:
    return tuple(_name(key) for depth, key in enumerate(path) if boxed or path[:depth] not in nodes.variables)


def _name(key: Any) -> str:
    """Returns Orbax's name for a JAX key; the tuple keys of some Flax layers become their `repr`."""
    return str(next(getattr(key, name) for name in ("key", "name", "idx") if hasattr(key, name)))


def _holder(path: tuple[Any, ...], nodes: _Nodes) -> tuple[Any, bool]:
    """Returns the innermost Variable around a leaf, and whether the leaf is its whole value."""
    for depth in range(len(path) - 1, -1, -1):
        if path[:depth] in nodes.variables:
            return nodes.variables[path[:depth]], depth == len(path) - 1
    return None, False


def _describe(value: Any, variable: Any) -> AbstractLeaf | None:
    """Returns the abstract leaf of a value; None if no checkpoint can contain it."""
    if isinstance(value, str):
        return AbstractLeaf("string")
    if type(value) in _NUMBERS:
        return AbstractLeaf("scalar", AbstractArray((), _NUMBERS[type(value)]))
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _describe_array(value, variable)
    return _describe_empty(value) if _is_empty(value) else None


def _describe_array(value: Any, variable: Any) -> AbstractLeaf | None:
    name = str(value.dtype)
    if not dtypes.is_name(name):
        return None
    return AbstractLeaf("array", AbstractArray(tuple(value.shape), name), sharding=_annotation(value, variable))


def _describe_empty(value: Any) -> AbstractLeaf:
    """Returns the leaf of an empty container; empty named tuples such as `optax.EmptyState` are saved as None."""
    if isinstance(value, list):
        return AbstractLeaf("empty", container="list")
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return AbstractLeaf("empty", container="tuple")
    return AbstractLeaf("empty") if isinstance(value, Mapping) else AbstractLeaf("none")


def _annotation(value: Any, variable: Any) -> Sharding | None:
    """Returns the sharding that the model requests, without a mesh, which the model does not specify."""
    import jax

    wanted = variable.get_metadata().get("out_sharding") if variable is not None else None
    if wanted is None and not isinstance(value, jax.core.Tracer):
        wanted = getattr(value, "sharding", None)
    names = wanted if isinstance(wanted, tuple | jax.sharding.PartitionSpec) else getattr(wanted, "spec", None)
    if not names:
        return None
    if not uses_flax():  # so there are no rules for names of axes
        return Sharding((), spec_from_partition(names))
    from flax.core import spmd

    rules = variable.get_metadata().get("sharding_rules") if variable is not None else None
    return Sharding((), spec_from_partition(spmd.get_pspec(jax.sharding.PartitionSpec(*names), rules or ())))


def _describe_unsupported(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of dtype {value.dtype}"
    return f"a value of type `{type(value).__name__}`"
