"""What a load fills: the model of a template's callable, or a live or abstract model of the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from migrate.template import Layout, Template
from migrate.template.blueprint import ONLY, Blueprint, blueprints_of
from migrate.template.flatten import leaf_paths
from migrate.template.parts import item_parts, saved_pytree
from migrate.template.template import described
from migrate.template.tracing import template_callable, trace
from migrate.tree import KeyPath

INTO = "into"
"""The name of the caller's own model in messages."""


@dataclass(frozen=True)
class Recipient:
    """A model that gets values.

    Attributes:
      template: its tree, for the plan.
      blueprints: its saved pytrees by item; a single one is named `ONLY`.
      pytrees: the saved pytrees with their leaves: values, or abstract arrays with the shardings that they have.
      boxed: whether a Variable adds a level to key paths.
      live: the caller's model; None for that of a template's callable.
    """

    template: Template
    blueprints: Mapping[str, Blueprint]
    pytrees: Mapping[str, Any]
    boxed: bool
    live: Any = None

    @cached_property
    def _paths(self) -> Mapping[str, list[KeyPath | None]]:
        """The key path of each leaf of each pytree."""
        found = {}
        for name, pytree in self.pytrees.items():
            prefix = () if name == ONLY else (name,)
            paths = leaf_paths(pytree, boxed=self.boxed)
            found[name] = [None if path is None else (*prefix, *path) for path in paths]
        return found

    @cached_property
    def leaves(self) -> Mapping[KeyPath, Any]:
        """The leaf at each key path: an abstract or a live array, a number or a string."""
        import jax

        pairs = (zip(self._paths[name], jax.tree.leaves(pytree), strict=True) for name, pytree in self.pytrees.items())
        return {path: leaf for part in pairs for path, leaf in part if path is not None}

    def filled(self, values: Mapping[KeyPath, Any]) -> Any:
        """Returns the model with new values; modules of the caller's model are updated in place.

        Args:
          values: the value of every key path of `leaves`.
        """
        saved = {name: self._with_values(name, values) for name in self.pytrees}
        made = {name: self._assembled(name, pytree) for name, pytree in saved.items()}
        return made.get(ONLY) if ONLY in made else made

    def _with_values(self, name: str, values: Mapping[KeyPath, Any]) -> Any:
        import jax

        leaves, structure = jax.tree.flatten(self.pytrees[name])
        pairs = zip(leaves, self._paths[name], strict=True)
        return jax.tree.unflatten(structure, [leaf if path is None else values[path] for leaf, path in pairs])

    def _assembled(self, name: str, saved: Any) -> Any:
        blueprint = self.blueprints[name]
        if self.live is None:
            return blueprint.assemble(saved)
        return blueprint.update(self.live if name == ONLY else item_parts(self.live)[name], saved)


def recipient_of_callable(spec: str, args: Mapping[str, Any] | None, layout: Layout) -> Recipient:
    """Returns the model of a template's callable, which is called once under abstract evaluation.

    Raises:
      CheckpointError: as `migrate.template.abstract_template`.
    """

    def look(result: Any) -> tuple[Template, Mapping[str, Blueprint]]:
        return described(result, spec, layout), blueprints_of(result, layout)

    template, parts = trace(spec, template_callable(spec, args), look)
    pytrees = {name: part.abstract for name, part in parts.items()}
    return Recipient(template, parts, pytrees, boxed=layout != "pure_dict")


def recipient_of_object(live: Any, spec: str, layout: Layout) -> Recipient:
    """Returns a model of the caller: modules with arrays or abstract ones, states, or any pytree of either.

    Args:
      live: the model.
      spec: the callable that makes such a model, or `INTO`.
      layout: how its tree is saved.

    Raises:
      CheckpointError: no checkpoint can contain it (`InvalidTemplate`).
    """
    template = described(live, spec, layout)
    parts = item_parts(live) if layout == "items" else {ONLY: live}
    pytrees = {name: saved_pytree(part, "state" if layout == "items" else layout) for name, part in parts.items()}
    return Recipient(template, blueprints_of(live, layout), pytrees, boxed=layout != "pure_dict", live=live)
