"""Checks that plain Orbax restores DST into the state of the template: its containers, not only its key paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from migrate.codes import VerificationFailed
from migrate.engine.items import SINGLE, ItemPlan, item_plans
from migrate.engine.verification.orbax_restore import name_in_orbax
from migrate.errors import CheckpointError, Diagnostic
from migrate.planning.model import Plan
from migrate.template import restore_target


def template_problems(plan: Plan, destination: Path) -> Iterator[Diagnostic]:
    """Lets Orbax compare the structure of each item with the template's, without reading an array.

    A template that is not `module:callable`, that was built with arguments other than the rule file's, or that only a
    plan file names is skipped.

    Args:
      plan: the plan.
      destination: the written checkpoint.
    """
    targets = _targets(plan)
    for item in item_plans(plan):
        target = targets.get(item.name if plan.rules.target.layout == "items" else SINGLE)
        if target is None or _names(target) != _planned_names(item):
            continue
        reason = _mismatch(item.directory(destination), target)
        if reason:
            message = (
                f"Orbax cannot restore {item.directory(destination)} into the state of `{plan.template}`: {reason}"
            )
            yield VerificationFailed.at(message)


def _targets(plan: Plan) -> Mapping[str, Any]:
    """Returns the abstract pytree of each item by name; that of the whole template by `SINGLE`."""
    if plan.template is None or not plan.has_callable_model:
        return {}
    target = plan.rules.target
    try:
        made = restore_target(plan.template, target.args, target.layout or "state")
    except CheckpointError:
        return {}
    return made if target.layout == "items" else {SINGLE: made}


def _names(target: Any) -> set[str]:
    return {name_in_orbax(path) for path, _ in jax.tree_util.tree_flatten_with_path(target)[0]}


def _planned_names(item: ItemPlan) -> set[str]:
    return {item.stored_name(path) for path, leaf in item.tree.leaves.items() if leaf.has_data}


def _mismatch(directory: Path, target: Any) -> str | None:
    """Returns Orbax's description of a structure that differs; on damaged files, its errors have any type."""
    item = jax.tree.map(lambda _: ocp.PLACEHOLDER, target)
    args = ocp.args.PyTreeRestore(item=item, restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(), item))
    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            checkpointer.restore(directory.absolute(), args=args)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001
        lines = [line.strip() for line in str(error).splitlines()]
        return " ".join(line for line in lines if line and not line.startswith("If this mismatch"))
    return None
