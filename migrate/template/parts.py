"""The object that a template's callable returns (a module, a pytree, or a dict or list of them): its parts, its modules
and its saved pytree.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from migrate.codes import InvalidTemplate
from migrate.errors import CheckpointError
from migrate.tree import KeyPath

Layout = Literal["state", "pure_dict", "items"]

_ELSEWHERE = object()
"""The placeholder for the state of a module whose Variables are all saved elsewhere."""


def saved_pytree(result: Any, layout: Layout) -> Any:
    """Returns the pytree to save; a dict of one pytree per item for `layout="items"`.

    Raises:
      CheckpointError: the object has no parts that could be items (`InvalidTemplate`).
    """
    if layout == "items":
        return {name: states_of(part) for name, part in item_parts(result).items()}
    return _pure(states_of(result)) if layout == "pure_dict" else states_of(result)


def item_parts(result: Any) -> dict[str, Any]:
    """Returns the parts of an object, each of which is an item.

    Raises:
      CheckpointError: it has no parts (`InvalidTemplate`).
    """
    parts = parts_of(result)
    if not parts:
        raise CheckpointError(
            InvalidTemplate.at(
                f"`layout: items` needs a template that returns a dict of parts, not a {type(result).__name__}",
                help="return `{name: part}`, or write `target: {layout: state}`",
            )
        )
    return parts


def states_of(result: Any) -> Any:
    """Returns the object with each module replaced by its state.

    All states are taken in one call: a Variable that two parts share is saved once, at its first place in Flax's order.
    Containers of modules become dicts, as in `nnx.state(result)`: the keys of a list or tuple are 0, 1, …. Parts
    without modules keep their own containers.
    """
    modules = {index: module for index, (_, module) in enumerate(modules_in(result))}
    if not modules:
        return result
    from flax import nnx

    joint = nnx.state(modules)
    placed = _place(result, iter([joint.get(index, _ELSEWHERE) for index in modules]))
    return nnx.State({}) if placed is _ELSEWHERE else placed


def holds_module(result: Any) -> bool:
    """Returns whether it is a module or contains one, so that `nnx.state` decides its structure."""
    return any(True for _ in modules_in(result))


def modules_in(result: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yields modules and Variables with their key paths, in the order in which Flax visits them."""
    if is_module(result):
        yield path, result
    for name, part in children_of(result):
        yield from modules_in(part, (*path, str(name)))


def children_of(result: Any) -> list[tuple[Any, Any]]:
    """Returns the children of a container by the keys that `nnx.state` gives them, in the order in which Flax visits
    them; none for other objects.
    """
    if type(result) is dict:
        return [(name, result[name]) for name in _sorted(result)]
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return sorted(zip(result._fields, result, strict=True))
    return list(enumerate(result)) if type(result) in (list, tuple) else []


def _sorted(names: Iterable[Any]) -> list[Any]:
    try:
        return sorted(names)
    except TypeError:  # names of several types
        return sorted(names, key=str)


def _place(result: Any, states: Iterator[Any]) -> Any:
    """Returns the containers with states for modules, without parts whose Variables are all saved elsewhere."""
    if is_module(result):
        return next(states)
    if not holds_module(result):
        return result
    placed = {name: _place(part, states) for name, part in children_of(result)}
    return {name: part for name, part in placed.items() if part is not _ELSEWHERE} or _ELSEWHERE


def is_module(result: Any) -> bool:
    """Whether it has Flax state: true for modules, optimizers and Variables."""
    if not uses_flax():
        return False
    from flax import nnx

    return isinstance(result, nnx.Pytree | nnx.Variable)


def is_variable(result: Any) -> bool:
    """Whether it is a Variable."""
    if not uses_flax():
        return False
    from flax import nnx

    return isinstance(result, nnx.Variable)


def uses_flax() -> bool:
    """Whether an object can be one of Flax; before Flax is imported, none can, and the import takes half a second."""
    return "flax" in sys.modules


def _pure(saved: Any) -> Any:
    """Returns the pytree without Variables."""
    if not uses_flax():
        return saved
    import jax
    from flax import nnx

    def strip(node: Any) -> Any:
        if isinstance(node, nnx.State):
            return nnx.to_pure_dict(node)
        return node.get_value() if isinstance(node, nnx.Variable) else node

    return jax.tree.map(strip, saved, is_leaf=lambda node: isinstance(node, nnx.State | nnx.Variable))


def as_abstract(leaf: Any) -> Any:
    """Returns shape and dtype of a tracer; other leaves unchanged."""
    import jax

    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if isinstance(leaf, jax.Array) else leaf


def parts_of(result: Any) -> dict[str, Any]:
    """Returns the values of a dict or list by key or index as text; an empty dict for other objects."""
    if type(result) is dict:
        return {str(name): part for name, part in result.items()}
    return {str(index): part for index, part in enumerate(result)} if type(result) in (list, tuple) else {}
