"""What a template's callable returned, a module, a plain pytree, or a dict or list of them: its parts, its modules, and
what is saved of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from migrate.codes import InvalidTemplate
from migrate.errors import CheckpointError
from migrate.tree import KeyPath

Layout = Literal["state", "pure_dict", "items"]

_ELSEWHERE = object()
"""Stands for the state of a module whose Variables are all saved elsewhere."""


def saved_pytree(made: Any, layout: Layout) -> Any:
    """What is saved of it; with `layout="items"` a dict of one pytree per item.

    Raises:
      CheckpointError: it has no parts that could be items (M408).
    """
    if layout == "items":
        return {name: states_of(part) for name, part in item_parts(made).items()}
    return _pure(states_of(made)) if layout == "pure_dict" else states_of(made)


def item_parts(made: Any) -> dict[str, Any]:
    """Its parts, each of which is an item.

    Raises:
      CheckpointError: it has none (M408).
    """
    parts = parts_of(made)
    if not parts:
        raise CheckpointError(
            InvalidTemplate.at(
                f"`layout: items` needs a template that returns a dict of parts, not a {type(made).__name__}",
                help="return `{name: part}`, or write `target: {layout: state}`",
            )
        )
    return parts


def states_of(made: Any) -> Any:
    """What was made, with the state of each module in its place.

    The states are taken together: a Variable that two parts share is saved once, where Flax meets it first.
    """
    from flax import nnx

    modules = {index: module for index, (_, module) in enumerate(modules_in(made))}
    joint = nnx.state(modules) if modules else {}
    placed = _place(made, iter([joint.get(index, _ELSEWHERE) for index in modules]))
    return nnx.State({}) if placed is _ELSEWHERE else placed


def modules_in(made: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Modules and Variables with their key paths, in the order in which Flax visits them."""
    if is_module(made):
        yield path, made
    elif type(made) is dict:
        for name in sorted(made, key=str):
            yield from modules_in(made[name], (*path, str(name)))
    elif type(made) in (list, tuple):
        for index, part in enumerate(made):
            yield from modules_in(part, (*path, str(index)))


def _place(made: Any, states: Iterator[Any]) -> Any:
    """The same containers with states for modules; a dict loses a part whose Variables are all saved elsewhere."""
    from flax import nnx

    if is_module(made):
        return next(states)
    if type(made) is dict:
        placed = {name: _place(made[name], states) for name in sorted(made, key=str)}
        return {name: placed[name] for name in made if placed[name] is not _ELSEWHERE}
    if type(made) in (list, tuple):
        parts = [_place(part, states) for part in made]
        return type(made)(nnx.State({}) if part is _ELSEWHERE else part for part in parts)
    return made


def is_module(made: Any) -> bool:
    """Whether Flax keeps state in it: modules, optimizers, Variables."""
    from flax import nnx

    return isinstance(made, nnx.Pytree | nnx.Variable)


def _pure(saved: Any) -> Any:
    """The same pytree without Variables."""
    import jax
    from flax import nnx

    def strip(node: Any) -> Any:
        if isinstance(node, nnx.State):
            return nnx.to_pure_dict(node)
        return node.get_value() if isinstance(node, nnx.Variable) else node

    return jax.tree.map(strip, saved, is_leaf=lambda node: isinstance(node, nnx.State | nnx.Variable))


def as_abstract(leaf: Any) -> Any:
    """A tracer as shape and dtype; anything else as it is."""
    import jax

    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if isinstance(leaf, jax.Array) else leaf


def parts_of(made: Any) -> dict[str, Any]:
    """The values of a dict or list by their names as text; none of anything else."""
    if type(made) is dict:
        return {str(name): part for name, part in made.items()}
    return {str(index): part for index, part in enumerate(made)} if type(made) in (list, tuple) else {}
