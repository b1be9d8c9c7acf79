"""The plan of a chain of rule files: each is planned for the target of the one before, and the plans are fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from migrate.formats.reader import AbstractCheckpoint
from migrate.metadata import Metadata, merge
from migrate.planning.invert.readback import as_read
from migrate.planning.model import Plan
from migrate.planning.model_fields import custom_metadata, model_fields
from migrate.planning.planner import TemplateLike, make_plan
from migrate.planning.versions.fuse import fuse
from migrate.rules.model import RuleSet
from migrate.rules.partition_file import Partition
from migrate.rules.recorded_tree import RecordedTree
from migrate.sharding import Mesh


@dataclass(frozen=True, slots=True)
class ChainStep:
    """A rule file with its target; None where the rules derive the target from the source.

    `is_recorded` states that the target is a recorded tree, which no code builds.
    """

    rules: RuleSet
    template: TemplateLike | None = None
    is_recorded: bool = False


def plan_chain(
    source: AbstractCheckpoint,
    steps: Sequence[ChainStep],
    *,
    mesh: Mesh | None = None,
    partition: Partition | None = None,
    link: bool = True,
) -> Plan:
    """Returns the fused plan of a chain, or the plan of its first step that is not applicable.

    Args:
      source: the abstract checkpoint.
      steps: the rule files in order; at least one.
      mesh: the last target's mesh.
      partition: which leaves of the last target are split over which axes of the mesh.
      link: whether arrays whose bytes do not change may be linked.
    """
    plans = plan_steps(source, steps, mesh=mesh, partition=partition, link=link)
    return fuse(plans, link=link) if len(plans) == len(steps) and plans[-1].applicable else plans[-1]


def plan_steps(
    source: AbstractCheckpoint,
    steps: Sequence[ChainStep],
    *,
    mesh: Mesh | None = None,
    partition: Partition | None = None,
    link: bool = True,
) -> list[Plan]:
    """Returns the plan of each step, up to the first that is not applicable."""
    plans: list[Plan] = []
    for number, step in enumerate(steps, start=1):
        placement = {"mesh": mesh, "partition": partition} if number == len(steps) else {}
        linked = link and len(steps) == 1
        rules = _with_layout(step.rules) if step.is_recorded else step.rules
        plan = make_plan(source, rules, step.template, link=linked, **placement)  # type: ignore[arg-type]
        plans.append(replace(plan, template=None) if step.is_recorded else plan)
        if not plan.applicable:
            break
        if number < len(steps):
            source = result_of(plans[-1])
    return plans


def _with_layout(rules: RuleSet) -> RuleSet:
    """Returns the rules with the layout that a template has by default, because the plan will name no template."""
    return replace(rules, target=replace(rules.target, layout=rules.target.layout or "state"))


def result_of(plan: Plan) -> AbstractCheckpoint:
    """Returns the target of a plan as the abstract checkpoint that a reader would return."""
    source, tree = plan.source, as_read(plan.target)[0]
    items = {name: tree.below((name,)) for name in plan.parts} or {"": tree}
    before = Metadata.from_json(source.metadata) or Metadata()
    code: dict[str, Any] = {"graph_digest": None, "code_digests": {}}
    fields = {**code, **model_fields(plan, before), "structure_hash": tree.structure_hash, "leaves": tree.signature}
    record = replace(before, **fields)
    return AbstractCheckpoint(
        source.path,
        source.format,
        items,
        step=source.step,
        extras=plan.json_items,
        metadata=merge(custom_metadata(plan), record),
        zarr3=source.zarr3,
        kinds={name: kind for name, kind in source.kinds.items() if name in items},
        knows_config=source.knows_config,
    )


def recorded_source(recorded: RecordedTree) -> AbstractCheckpoint:
    """Returns a recorded tree as a reader would describe a checkpoint of that version."""
    tree = as_read(recorded.tree)[0]
    record = Metadata(model=recorded.model, version=recorded.version)
    return AbstractCheckpoint(
        recorded.file, "recorded tree", {"": tree}, metadata=merge({}, record), knows_config=False
    )
