"""Rebuilds modules from a restored pytree.

A checkpoint does not contain the structure of modules. The graph definition does; it comes from the template's callable
under abstract evaluation, and `nnx.merge` combines both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migrate.template.parts import (
    Layout,
    as_abstract,
    children_of,
    holds_module,
    is_module,
    item_parts,
    modules_in,
    saved_pytree,
)
from migrate.template.tracing import template_callable, trace

ONLY = ""
"""The name of the blueprint of a template that is saved as one pytree."""

Keys = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _ModulePlaceholder:
    """The placeholder of a module in the returned object."""

    index: int


@dataclass(frozen=True)
class Blueprint:
    """One saved pytree of a template, with the information to rebuild its modules.

    Attributes:
      abstract: the pytree with which Orbax restores it; arrays are `jax.ShapeDtypeStruct`s without a sharding.
      graph: the graph definition of all modules together, so that shared Variables stay shared; None without modules.
      places: the location of each module's state in the saved pytree, for modules with a state of their own.
      states: these states, abstract, for pytrees saved without Variables; None otherwise.
      frame: the object that the callable returned, with placeholders for modules.
    """

    abstract: Any
    graph: Any
    places: Mapping[int, Keys]
    states: Mapping[int, Any] | None
    frame: Any

    def assemble(self, restored: Any) -> Any:
        """Returns the object that the callable returns, with the restored values."""
        if self.graph is None:
            return restored
        from flax import nnx

        return _filled(self.frame, restored, nnx.merge(self.graph, self._joint(restored)))

    def update(self, live: Any, restored: Any) -> Any:
        """Gives the modules of an object the restored values, and returns it with its other parts replaced by them.

        Nothing is checked: `nnx.update` accepts values of any shape.

        Args:
          live: the object from which the blueprint was made.
          restored: its saved pytree with other values.
        """
        if self.graph is None:
            return restored
        from flax import nnx

        modules = {index: module for index, (_, module) in enumerate(modules_in(live))}
        nnx.update(modules, self._joint(restored))
        return _filled(self.frame, restored, modules)

    def _joint(self, restored: Any) -> Any:
        """Returns the state of all modules together."""
        from flax import nnx

        states = {index: _at(restored, keys) for index, keys in self.places.items()}
        if self.states is not None:
            states = {index: _boxed(self.states[index], state) for index, state in states.items()}
        return nnx.State(states)


def blueprints(spec: str, args: Mapping[str, Any] | None = None, layout: Layout = "state") -> Mapping[str, Blueprint]:
    """Returns the blueprint of each item of a template by name; a single one named `ONLY` if there are no items.

    Raises:
      CheckpointError: as `abstract_template`.
    """
    return trace(spec, template_callable(spec, args), lambda result: blueprints_of(result, layout))


def blueprints_of(result: Any, layout: Layout = "state") -> Mapping[str, Blueprint]:
    """Returns the blueprints of an object: of a callable's result, or of a live or abstract model."""
    if layout != "items":
        return {ONLY: _blueprint(result, layout)}
    return {name: _blueprint(part, "state") for name, part in item_parts(result).items()}


def _blueprint(result: Any, layout: Layout) -> Blueprint:
    import jax

    modules = {index: module for index, (_, module) in enumerate(modules_in(result))}
    if not modules:
        return Blueprint(jax.tree.map(as_abstract, saved_pytree(result, layout)), None, {}, None, None)
    from flax import nnx

    places: dict[int, Keys] = {}
    frame = _frame(result, (), places)
    graph, joint = nnx.split(modules)
    abstract = jax.tree.map(as_abstract, joint)
    own = {index: places[index] for index in modules if index in joint}
    return Blueprint(
        abstract=jax.tree.map(as_abstract, saved_pytree(result, layout)),
        graph=graph,
        places=own,
        states={index: abstract[index] for index in own} if layout == "pure_dict" else None,
        frame=frame,
    )


def _frame(result: Any, keys: Keys, places: dict[int, Keys]) -> Any:
    """Returns the containers of modules with placeholders for modules, numbered in the order of `modules_in`; None for
    parts without modules.
    """
    if is_module(result):
        places[len(places)] = keys
        return _ModulePlaceholder(len(places) - 1)
    if not holds_module(result):
        return None
    return _like(result, {name: _frame(part, (*keys, name), places) for name, part in children_of(result)})


def _filled(frame: Any, restored: Any, modules: Mapping[int, Any]) -> Any:
    if frame is None:
        return restored
    if isinstance(frame, _ModulePlaceholder):
        return modules[frame.index]
    return _like(frame, {name: _filled(part, _part(restored, name), modules) for name, part in children_of(frame)})


def _like(container: Any, parts: dict[Any, Any]) -> Any:
    """Returns a container of the same type with other children."""
    if isinstance(container, dict):
        return parts
    kind = type(container)
    return kind(**parts) if hasattr(container, "_fields") else kind(parts.values())


def _part(restored: Any, key: Any) -> Any:
    """Returns a child; None for a module or container whose Variables are all saved elsewhere."""
    return restored.get(key) if isinstance(restored, Mapping) else None


def _at(node: Any, keys: Keys) -> Any:
    for key in keys:
        node = node[key]
    return node


def _boxed(state: Any, pure: Any) -> Any:
    """Returns a state with the values of a pure dict."""
    from flax import nnx

    if isinstance(state, nnx.Variable):
        return state.replace(pure)
    values = {
        path: held.replace(_at(pure, path)) if isinstance(held, nnx.Variable) else _at(pure, path)
        for path, held in nnx.to_flat_state(state)
    }
    return nnx.from_flat_state(values)
