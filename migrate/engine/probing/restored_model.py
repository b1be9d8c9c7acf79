"""The new model as its users will have it: restored by plain Orbax, assembled by `nnx.merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from migrate.codes import VerificationFailed
from migrate.engine.items import ItemPlan, item_plans
from migrate.engine.probing.assembled_model import AssembledModel
from migrate.errors import VerifyError
from migrate.planning.model import Plan
from migrate.template.blueprint import ONLY, Blueprint, blueprints


class RestoredModel(AssembledModel):
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
        kept = {name: part for name, part in parts.items() if name in places}
        super().__init__(kept, {name: _restored(plan, part, places[name], checkpoint) for name, part in kept.items()})


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
