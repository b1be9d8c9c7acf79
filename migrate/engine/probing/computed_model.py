"""The new model that a plan leads to, computed in memory: no checkpoint is written.

Values are kept from one plan to the next, so that plans that differ in a few tasks cost the evaluation of these tasks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from migrate import dtypes
from migrate.engine.probing.assembled_model import AssembledModel, can_be_nan, to_nan
from migrate.engine.streaming.create import creations
from migrate.engine.streaming.evaluate import evaluate
from migrate.formats.base import Value
from migrate.formats.reader import Reader
from migrate.planning.model import Plan, Task
from migrate.template.blueprint import ONLY, blueprints
from migrate.template.flatten import leaf_paths
from migrate.tree import KeyPath


class ComputedModels:
    """Computes the models of the plans from one checkpoint to one template."""

    def __init__(self, plan: Plan, reader: Reader) -> None:
        """Builds the template.

        Args:
          plan: one of the plans; it has a template.
          reader: the source.

        Raises:
          CheckpointError: the template cannot be built (`InvalidTemplate`).
        """
        assert plan.template is not None
        target = plan.rules.target
        self._reader = reader
        self._parts = blueprints(plan.template, target.args, target.layout or "state")
        self._boxed = target.layout != "pure_dict"
        self._tasks: dict[KeyPath, object] = {}
        self._values: dict[KeyPath, Value] = {}
        self._created: dict[KeyPath, Value] | None = None

    def computed(self, plan: Plan, erased: Collection[KeyPath] = ()) -> AssembledModel:
        """Returns the model of a plan, with NaN in place of erased leaves.

        Raises:
          RefusedError: a cast would change a value (`LossyCast`).
          CheckpointError: the source cannot be read, or the model's initializer fails.
        """
        for task in plan.tasks:
            self._compute(task, plan)
        if self._created is None:  # the same for all plans
            self._created = {path: value for _, make in creations(plan) for path, value in make().items()}
        values = {**self._created, **{path: self._values[path] for task in plan.tasks for path in task.targets}}
        saved = {name: self._filled(name, part.abstract, values, erased) for name, part in self._parts.items()}
        return AssembledModel(self._parts, saved)

    def has_floats(self, path: KeyPath) -> bool:
        """Whether a computed leaf can be NaN."""
        return path in self._values and can_be_nan(self._values[path])

    def _compute(self, task: Task, plan: Plan) -> None:
        key = (task.sources, task.outputs, tuple((repr(step.op), step.groups) for step in task.steps))
        if all(self._tasks.get(path) == key for path in task.targets):
            return
        self._values.update(evaluate(task, self._reader, plan.target))
        self._tasks.update(dict.fromkeys(task.targets, key))

    def _filled(self, name: str, abstract: Any, values: Mapping[KeyPath, Value], erased: Collection[KeyPath]) -> Any:
        """Returns the pytree with the values of its key paths."""
        import jax

        leaves, structure = jax.tree.flatten(abstract)
        prefix = (name,) if name != ONLY else ()

        def value(leaf: Any, inner: KeyPath | None) -> Any:
            if inner is None:
                return leaf
            path = (*prefix, *inner)
            if isinstance(leaf, str):
                return values[path]
            placed = _placed(values[path], leaf)
            return to_nan(placed) if path in erased else placed

        return jax.tree.unflatten(structure, map(value, leaves, leaf_paths(abstract, boxed=self._boxed)))


def _placed(value: Value, leaf: Any) -> Any:
    """Returns a value as the template has it: a number, an array of NumPy or JAX, or a typed key for its words."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    array = np.asarray(value)
    if not hasattr(leaf, "dtype"):
        return type(leaf)(array.item())
    if array.dtype.names:
        impl = array.dtype.names[0]
        return jax.random.wrap_key_data(array[impl], impl=dtypes.KEY_IMPLS[impl])
    return array.copy() if isinstance(leaf, np.ndarray) else jnp.asarray(array)  # probes may write into arrays of NumPy
