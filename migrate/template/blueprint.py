"""The way back: from a restored pytree to the modules that it was saved of.

What is saved holds no structure of modules; that is in the graph definition, which the template's callable gives under
abstract evaluation. `nnx.merge` puts both together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migrate.template.parts import Layout, as_abstract, is_module, item_parts, modules_in, saved_pytree
from migrate.template.tracing import maker, traced

ONLY = ""
"""The name of the only blueprint of a template whose parts are one pytree."""

Keys = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Module:
    """Stands for a module in what the callable returned."""

    index: int


@dataclass(frozen=True)
class Blueprint:
    """One saved pytree of a template and what it takes to make its modules of it.

    Attributes:
      abstract: the pytree with which Orbax restores it; arrays are `jax.ShapeDtypeStruct`s without a sharding.
      graph: the graph definition of all modules together, so that what they share stays shared.
      places: where in the saved pytree the state of each module lies that has one of its own.
      states: those states, abstract, for pytrees that were saved without Variables; else None.
      frame: what the callable returned, with `_Module` for modules.
    """

    abstract: Any
    graph: Any
    places: Mapping[int, Keys]
    states: Mapping[int, Any] | None
    frame: Any

    def assemble(self, restored: Any) -> Any:
        """What the callable returned, with the restored values."""
        from flax import nnx

        states = {index: _at(restored, keys) for index, keys in self.places.items()}
        if self.states is not None:
            states = {index: _boxed(self.states[index], state) for index, state in states.items()}
        return _filled(self.frame, restored, nnx.merge(self.graph, nnx.State(states)))


def blueprints(spec: str, args: Mapping[str, Any] | None = None, layout: Layout = "state") -> Mapping[str, Blueprint]:
    """The blueprint of each item of a template, by name; one named `ONLY` where everything is one pytree.

    Raises:
      CheckpointError: as `abstract_template` (M408).
    """

    def look(made: Any) -> Mapping[str, Blueprint]:
        if layout != "items":
            return {ONLY: _blueprint(made, layout)}
        return {name: _blueprint(part, "state") for name, part in item_parts(made).items()}

    return traced(spec, maker(spec, args), look)


def _blueprint(made: Any, layout: Layout) -> Blueprint:
    import jax
    from flax import nnx

    modules = {index: module for index, (_, module) in enumerate(modules_in(made))}
    places: dict[int, Keys] = {}
    frame = _frame(made, (), places)
    graph, joint = nnx.split(modules)
    abstract = jax.tree.map(as_abstract, joint)
    own = {index: places[index] for index in modules if index in joint}
    return Blueprint(
        abstract=jax.tree.map(as_abstract, saved_pytree(made, layout)),
        graph=graph,
        places=own,
        states={index: abstract[index] for index in own} if layout == "pure_dict" else None,
        frame=frame,
    )


def _frame(made: Any, keys: Keys, places: dict[int, Keys]) -> Any:
    """The containers of what was made, whose modules are counted in the order of `modules_in`."""
    if is_module(made):
        places[len(places)] = keys
        return _Module(len(places) - 1)
    if type(made) is dict:
        return {name: _frame(made[name], (*keys, name), places) for name in sorted(made, key=str)}
    if type(made) in (list, tuple):
        return type(made)(_frame(part, (*keys, index), places) for index, part in enumerate(made))
    return None


def _filled(frame: Any, restored: Any, modules: Mapping[int, Any]) -> Any:
    if isinstance(frame, _Module):
        return modules[frame.index]
    if isinstance(frame, dict):
        return {name: _filled(part, _part(restored, name), modules) for name, part in frame.items()}
    if isinstance(frame, list | tuple):
        return type(frame)(_filled(part, _part(restored, index), modules) for index, part in enumerate(frame))
    return restored


def _part(restored: Any, key: Any) -> Any:
    """None for a module whose Variables are all saved elsewhere."""
    return restored.get(key) if isinstance(restored, Mapping) else restored[key]


def _at(node: Any, keys: Keys) -> Any:
    for key in keys:
        node = node[key]
    return node


def _boxed(state: Any, pure: Any) -> Any:
    """A state with the values of a pure dict."""
    from flax import nnx

    if isinstance(state, nnx.Variable):
        return state.replace(pure)
    values = {
        path: held.replace(_at(pure, path)) if isinstance(held, nnx.Variable) else _at(pure, path)
        for path, held in nnx.to_flat_state(state)
    }
    return nnx.from_flat_state(values)
