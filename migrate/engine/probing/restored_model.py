"""The new model in memory, as its users will have it: restored by plain Orbax, assembled by `nnx.merge`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from migrate.codes import VerificationFailed
from migrate.engine.items import ItemPlan, item_plans
from migrate.errors import VerifyError
from migrate.planning.model import Plan
from migrate.template.blueprint import ONLY, Blueprint, blueprints


class RestoredModel:
    """The return value of the template's callable, with the values of the new checkpoint."""

    def __init__(self, plan: Plan, checkpoint: Path) -> None:
        """Restores the whole checkpoint to one device, whatever mesh it was written for.

        Args:
          plan: the plan that was carried out; it has a template.
          checkpoint: the written checkpoint.

        Raises:
          CheckpointError: the template cannot be built (`InvalidTemplate`).
          VerifyError: Orbax cannot restore the checkpoint for this template (`VerificationFailed`).
        """
        assert plan.template is not None
        target = plan.rules.target
        parts = blueprints(plan.template, target.args, target.layout or "state")
        items = item_plans(plan)
        places = {ONLY: items[0]} if ONLY in parts else {item.name: item for item in items}
        self._parts = {name: part for name, part in parts.items() if name in places}
        self._saved = {name: _restored(plan, part, places[name], checkpoint) for name, part in self._parts.items()}

    def model(self) -> Any:
        """Returns the model, or the dict or list of parts that the callable returns."""
        return self._assembled(lambda saved: saved)

    @property
    def has_floats(self) -> bool:
        """Whether any of its numbers can be NaN."""
        import jax

        return any(map(_can_be_nan, jax.tree.leaves(self._saved)))

    def model_of_nan(self) -> Any:
        """Returns the model with NaN in place of every number that can be NaN."""
        import jax

        return self._assembled(lambda saved: jax.tree.map(_to_nan, saved))

    def _assembled(self, change: Callable[[Any], Any]) -> Any:
        made = {name: part.assemble(change(self._saved[name])) for name, part in self._parts.items()}
        return made.get(ONLY, made)


def _restored(plan: Plan, part: Blueprint, item: ItemPlan, checkpoint: Path) -> Any:
    import jax
    import orbax.checkpoint as ocp

    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def placed(leaf: Any) -> Any:
        struct = isinstance(leaf, jax.ShapeDtypeStruct)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here) if struct else leaf

    try:
        if item.kind.bare:
            with ocp.Checkpointer(ocp.JaxRandomKeyCheckpointHandler()) as checkpointer:
                return checkpointer.restore((checkpoint / item.name).absolute(), ocp.args.JaxRandomKeyRestore())
        with ocp.StandardCheckpointer() as checkpointer:
            directory = item.directory(checkpoint).absolute()
            return checkpointer.restore(directory, jax.tree.map(placed, part.abstract))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 (on damaged files, Orbax fails with errors of any type)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise VerifyError(
            VerificationFailed.at(f"Orbax cannot restore {checkpoint} for `{plan.template}`: {reason}")
        ) from None


def _to_nan(leaf: Any) -> Any:
    import jax.numpy as jnp

    return jnp.full_like(leaf, jnp.nan) if _can_be_nan(leaf) else leaf


def _can_be_nan(leaf: Any) -> bool:
    import jax.numpy as jnp

    return not isinstance(leaf, str) and bool(jnp.issubdtype(jnp.result_type(leaf), jnp.inexact))
