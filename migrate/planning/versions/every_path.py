"""The plans of every step and every path of a folder of rule files, made from the recorded trees of its versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

from migrate.errors import Diagnostic, PlanError
from migrate.formats.reader import AbstractCheckpoint
from migrate.garbage import without_collection
from migrate.planning.invert.readback import as_read
from migrate.planning.model import Plan
from migrate.planning.versions.chain import ChainStep, plan_chain, plan_steps, recorded_source, result_of
from migrate.planning.versions.composition import ChainEffect, of_last, preceded
from migrate.planning.versions.fuse import Fuser, Fusion
from migrate.planning.versions.graph import ModelVersion, VersionGraph, VersionStep
from migrate.rules.folder import RuleFolder
from migrate.rules.recorded_tree import RecordedTree


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A rule file with its plan.

    Attributes:
      step: the rule file with its versions.
      plan: the plan, applicable or not; None where a tree is missing.
      missing: the versions, of the two that the step connects, whose trees are needed and not recorded.
    """

    step: VersionStep
    plan: Plan | None
    missing: tuple[ModelVersion, ...] = ()

    @property
    def applicable(self) -> bool:
        """Whether there is a plan and it can run."""
        return self.plan is not None and self.plan.applicable


@dataclass(frozen=True)
class PlannedPath:
    """The path from an older version to a newest one, with its fused plan or the reason why there is none.

    Attributes:
      source: the older version.
      target: the newest version.
      steps: the rule files in order; empty where the graph has no single path.
      make_plan: makes the fused plan; None unless it can run.
      blocked: the steps that are not applicable or not planned; the diagnostics of `PlannedStep` give the reasons.
      diagnostics: the errors of the path itself: there is no single path, or its steps cannot be fused.
    """

    source: ModelVersion
    target: ModelVersion
    steps: tuple[VersionStep, ...]
    make_plan: Callable[[], Plan] | None = None
    blocked: tuple[VersionStep, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def is_planned(self) -> bool:
        """Whether there is a plan, which is not made."""
        return self.make_plan is not None

    @cached_property
    def plan(self) -> Plan | None:
        """The fused plan, made when it is first used; for a path of one step, the plan of that step."""
        return None if self.make_plan is None else self.make_plan()


@dataclass(frozen=True, slots=True)
class EveryPath:
    """All plans of a folder.

    Attributes:
      graph: the versions of the folder.
      steps: each rule file with its plan, in the order of `graph.steps`.
      paths: each path from an older version to a newest version that rule files lead to from it; versions in natural
        order.
      unrecorded: the versions that no recorded tree and no rule file describes, in natural order; the first versions of
        chains included.
    """

    graph: VersionGraph
    steps: tuple[PlannedStep, ...]
    paths: tuple[PlannedPath, ...]
    unrecorded: tuple[ModelVersion, ...]

    def of_step(self, step: VersionStep) -> PlannedStep:
        """Returns a step of the graph with its plan."""
        return next(one for one in self.steps if one.step is step)


def plan_every_path(folder: RuleFolder) -> EveryPath:
    """Returns the plan of every step and decides about every path; no checkpoint, template or array is needed.

    Each step is planned once, from the recorded tree of its source version to that of its target version. Where the
    target is not recorded and the rule file names no template, its rules derive the target, as `upgrade` does. The
    effect of a path is that of its first step followed by that of the path after it. It decides whether the steps can
    be fused; the tasks of the fused plan are made when `PlannedPath.plan` is first used.

    Args:
      folder: the rule files and recorded trees. Every problem becomes a part of the result; nothing is raised.
    """
    graph = VersionGraph(folder)
    planner = _Planner(folder)
    with without_collection():
        planned = {step: planner.step(step) for step in graph.from_old_to_new}
        paths = _PathPlanner(graph, planner, planned).paths()
    unrecorded = tuple(version for version in graph.versions if planner.source_of(version) is None)
    return EveryPath(graph, tuple(planned[step] for step in graph.steps), paths, unrecorded)


class _Planner:
    """Plans the steps of a folder, those of older versions first."""

    def __init__(self, folder: RuleFolder) -> None:
        self._folder = folder
        self._sources: dict[ModelVersion, AbstractCheckpoint | None] = {}

    def step(self, step: VersionStep) -> PlannedStep:
        """Returns a step with its plan."""
        source = self.source_of(step.source)
        recorded = self.recorded(step.target)
        derives = recorded is None and step.rules.target.template is None
        known = {step.source: source is not None, step.target: recorded is not None or derives}
        missing = tuple(version for version, is_known in known.items() if not is_known)
        if source is None or missing:
            return PlannedStep(step, None, missing)
        (plan,) = plan_steps(source, [self.chain_step(step)], link=False)
        if derives and plan.applicable and self.source_of(step.target) is None:
            self._sources[step.target] = result_of(plan)
        return PlannedStep(step, plan)

    def chain_step(self, step: VersionStep) -> ChainStep:
        """Returns a step with the recorded tree of its target, if there is one."""
        recorded = self.recorded(step.target)
        return ChainStep(step.rules, recorded, is_recorded=recorded is not None)

    def recorded(self, version: ModelVersion) -> RecordedTree | None:
        """Returns the recorded tree of a version; None where there is none."""
        return self._folder.recorded_tree(version.model, version.version)

    def source_of(self, version: ModelVersion) -> AbstractCheckpoint | None:
        """Returns a version as a checkpoint, recorded or derived; None where its tree is unknown."""
        if version not in self._sources:
            recorded = self.recorded(version)
            self._sources[version] = None if recorded is None else recorded_source(recorded)
        return self._sources[version]


class _PathPlanner:
    """Plans the paths of a graph, those from newer versions first: each is a step before a path that is known."""

    def __init__(self, graph: VersionGraph, planner: _Planner, planned: Mapping[VersionStep, PlannedStep]) -> None:
        self._graph = graph
        self._planner = planner
        self._planned = planned
        self._fuser = Fuser()
        self._chains: dict[tuple[ModelVersion, ModelVersion], ChainEffect] = {}

    def paths(self) -> tuple[PlannedPath, ...]:
        """Returns the paths to every head, in natural order of their versions."""
        sources = dict.fromkeys(step.source for step in reversed(self._graph.from_old_to_new))
        found = {(one, head): self._path(one, head) for one in sources for head in self._graph.heads_from(one)}
        ordered = ((one, head) for one in self._graph.versions for head in self._graph.heads)
        return tuple(found[ends] for ends in ordered if ends in found)

    def _path(self, source: ModelVersion, target: ModelVersion) -> PlannedPath:
        try:
            steps = self._graph.path(source, target)
        except PlanError as error:
            return PlannedPath(source, target, (), diagnostics=tuple(error.diagnostics))
        blocked = tuple(step for step in steps if not self._planned[step].applicable)
        if blocked:
            return PlannedPath(source, target, steps, blocked=blocked)
        make, diagnostics = self._plan(steps)
        errors = tuple(one for one in diagnostics if one.is_error)
        return PlannedPath(source, target, steps, None if errors else make, diagnostics=errors)

    def _plan(self, steps: Sequence[VersionStep]) -> tuple[Callable[[], Plan], Sequence[Diagnostic]]:
        """Returns what makes the fused plan of a path, and its diagnostics besides those of the steps.

        Where the steps were planned for another path, they are planned again.
        """
        if all(self._continues(one, other) for one, other in pairwise(steps)):
            fusion = Fusion(self._chain(steps), self._fuser)
            return partial(fusion.plan, link=False), fusion.problems
        chain = [self._planner.chain_step(step) for step in steps]
        plan = plan_chain(self._plan_of(steps[0]).source, chain, link=False)
        return lambda: plan, plan.diagnostics

    def _continues(self, one: VersionStep, other: VersionStep) -> bool:
        """Whether a step is planned for the tree that the step before makes: rule files may derive different trees."""
        if self._planner.recorded(one.target) is not None:
            return True
        made = as_read(self._plan_of(one).target)[0]
        return made.structure_hash == self._plan_of(other).source.structure_hash

    def _plan_of(self, step: VersionStep) -> Plan:
        plan = self._planned[step].plan
        assert plan is not None
        return plan

    def _chain(self, steps: Sequence[VersionStep]) -> ChainEffect:
        """Returns the effect of a path; that of the path after its first step is known."""
        plan = self._plan_of(steps[0])
        ends = steps[0].source, steps[-1].target
        after = self._chains.get((steps[0].target, steps[-1].target))
        expressions = self._fuser.expressions
        made = preceded(after, plan, expressions) if after else of_last(plan, expressions)
        return self._chains.setdefault(ends, made)
