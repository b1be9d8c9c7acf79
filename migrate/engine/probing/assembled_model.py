"""The new model in memory, assembled from its saved pytrees by `nnx.merge`; also with NaN in place of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from migrate.template.blueprint import ONLY, Blueprint


class AssembledModel:
    """The return value of the template's callable, with the values of its saved pytrees."""

    def __init__(self, parts: Mapping[str, Blueprint], saved: Mapping[str, Any]) -> None:
        """Takes the blueprint and the pytree of each item, by name; a single one is named `ONLY`."""
        self._parts = parts
        self._saved = saved

    def model(self) -> Any:
        """Returns the model, or the dict or list of parts that the callable returns."""
        return self._assembled(lambda saved: saved)

    @property
    def has_floats(self) -> bool:
        """Whether any of its numbers can be NaN."""
        import jax

        return any(map(can_be_nan, jax.tree.leaves(self._saved)))

    def model_of_nan(self) -> Any:
        """Returns the model with NaN in place of every number that can be NaN."""
        import jax

        return self._assembled(lambda saved: jax.tree.map(to_nan, saved))

    def _assembled(self, change: Callable[[Any], Any]) -> Any:
        made = {name: part.assemble(change(self._saved[name])) for name, part in self._parts.items()}
        return made.get(ONLY, made)


def to_nan(leaf: Any) -> Any:
    """Returns NaN of the shape of a leaf, if its numbers can be NaN; otherwise the leaf."""
    import jax.numpy as jnp

    return jnp.full_like(leaf, jnp.nan) if can_be_nan(leaf) else leaf


def can_be_nan(leaf: Any) -> bool:
    """Whether a leaf consists of numbers that can be NaN."""
    import jax.numpy as jnp

    return not isinstance(leaf, str) and bool(jnp.issubdtype(jnp.result_type(leaf), jnp.inexact))
