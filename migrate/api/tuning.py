"""Public functions that choose chunks for the loads to come, and tell what these loads decode."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from migrate.api.plans import finished, linked_or_copied
from migrate.api.plans import plan as make
from migrate.checkpoint import Checkpoint, StrPath
from migrate.codes import InvalidUsage
from migrate.errors import PlanError, UsageError

if TYPE_CHECKING:
    from migrate.engine.loading.amplification import MeshAmplification
    from migrate.planning.chunking.loads import LoadsToCome
    from migrate.planning.model import Plan
    from migrate.planning.planner import TemplateLike
    from migrate.rules.model import RuleSet
    from migrate.rules.partition_file import Partition

Mesh = tuple[tuple[str, int], ...]


def plan_tune(
    checkpoint: Checkpoint,
    meshes: Sequence[Mesh | str] = (),
    *,
    partition: Partition | StrPath | None = None,
    template: TemplateLike | str | None = None,
    mesh: Mesh | str | None = None,
    as_step: bool = False,
    link: Literal["auto", "never"] = "auto",
    max_ram: int | None = None,
    destination: StrPath | None = None,
) -> Plan:
    """Plan a copy of a checkpoint with the same values, in chunks that suit the loads to come; no array is read.

    Args:
      checkpoint: the source.
      meshes: the meshes of the loads, as values or as in `data=1,fsdp=128`; each device of any of them decodes at most
        1.05 times its own bytes (default: every mesh up to 16×16, at most 1.5 times).
      partition: a partition table or its file, which assigns arrays to axes of the meshes (default: the annotations of
        the template, or the shardings with which the checkpoint was saved).
      template: the model of the checkpoint, or `module:callable`; its tree must be that of the checkpoint.
      mesh: the mesh whose shardings the copy records, as in `plan`.
      as_step: as in `plan`.
      link: as in `plan`; arrays whose chunks suit already are linked.
      max_ram: as in `plan`.
      destination: as in `plan`.

    Raises:
      UsageError: a mesh cannot be read, the size of one of its axes is open, or a partition has no mesh.
      CheckpointError: the template cannot be found or fails, or a file of the checkpoint lacks bytes.
    """
    table = partition if mesh is not None else None
    made = make(
        checkpoint, no_rules(), template, mesh=mesh, partition=table, as_step=as_step, link=link, max_ram=max_ram
    )
    tuned = choose_chunks(made, meshes, partition=partition, link=link)
    return finished(tuned, destination=destination, mesh=mesh is not None)


def no_rules() -> RuleSet:
    """Return the rules of `tune`: every leaf keeps its key path and its value."""
    from migrate.rules.loader import parse_rules

    return parse_rules("migrate: 1\nname: tune\nrules: []\n", "tune")


def choose_chunks(
    plan: Plan,
    meshes: Sequence[Mesh | str] = (),
    *,
    partition: Partition | StrPath | None = None,
    link: Literal["auto", "never"] = "auto",
) -> Plan:
    """Return a plan whose target has chunks that suit the loads to come; no array is read.

    Args:
      plan: a plan of `plan`, `plan_upgrade` or `load_plan`, made without `destination`.
      meshes: as in `plan_tune`.
      partition: as in `plan_tune`.
      link: as in `plan`.

    Returns:
      The plan; `AmplifiedReads` notes arrays that stay above the bound. Shardings that do not fit a mesh, and meshes
      over which no array is divided (`NothingDivided`), are errors of the plan.

    Raises:
      UsageError: a mesh cannot be read, the size of one of its axes is open, or a partition has no mesh.
    """
    from migrate.planning.chunking.assign import with_chunks

    return linked_or_copied(with_chunks(plan, loads_of(plan, meshes, partition)), link)


def read_amplification(
    plan: Plan, meshes: Sequence[Mesh | str] = (), *, partition: Partition | StrPath | None = None
) -> tuple[MeshAmplification, ...]:
    """Return what the devices of meshes decode for their own bytes, of the source and of the target of a plan.

    Args:
      plan: an applicable plan.
      meshes: as in `plan_tune`.
      partition: as in `plan_tune`.

    Raises:
      UsageError: a mesh cannot be read, the size of one of its axes is open, or a partition has no mesh.
      PlanError: a sharding does not fit a mesh (`InvalidSharding`), or no array is divided (`NothingDivided`).
    """
    from migrate.engine.loading.amplification import amplifications

    loads = loads_of(plan, meshes, partition)
    if loads.diagnostics:
        raise PlanError(*loads.diagnostics)
    return amplifications(plan, loads)


def loads_of(plan: Plan, meshes: Sequence[Mesh | str], partition: Partition | StrPath | None) -> LoadsToCome:
    """Return the loads of a plan's target onto meshes.

    Raises:
      UsageError: a mesh cannot be read, or the size of one of its axes is open (`InvalidSharding`); or a partition has
        no mesh (`InvalidUsage`).
    """
    from migrate.planning.chunking.loads import loads_to_come
    from migrate.rules.partition_file import load_partition
    from migrate.sharding import parse_mesh

    if partition is not None and not meshes:
        advice = "name the axes, for example `--for data=1,fsdp=128`"
        raise UsageError(InvalidUsage.at("a partition needs a mesh", help=advice))
    axes = [parse_mesh(mesh) if isinstance(mesh, str) else mesh for mesh in meshes]
    table = load_partition(partition) if isinstance(partition, str | os.PathLike) else partition
    return loads_to_come(plan, axes, table)
