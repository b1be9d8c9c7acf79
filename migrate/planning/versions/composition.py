"""The effect of a chain of plans: every leaf of the last target as an expression over leaves of the first source.

A composition grows at its front, so that the paths from all versions to the newest one cost one step each: the path
from a version is its first step, followed by the path from the version after it. Its expressions are not simplified;
`Expressions.simplified` does that from the leaves up, whatever the order in which the chain was composed. Notes are
composed when a task needs them: a check of many paths makes no tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from migrate.errors import Span
from migrate.planning.invert.readback import renamed_as_read
from migrate.planning.model import Dropped, Plan, Task
from migrate.planning.versions.values import (
    CallResult,
    CreatedValue,
    Expressions,
    OpCall,
    SourceValue,
    Value,
    below,
    results_of,
)
from migrate.tree import AbstractLeaf, KeyPath


@dataclass(frozen=True, slots=True)
class LeafNote:
    """What the plans state about a leaf of the target; see `Task`.

    Attributes:
      origin: the leaf of the first source whose plan continues the note; None for a created leaf.
      follows: the param that a moment follows, as the last plan and those before it name it.
    """

    origin: KeyPath | None
    rule: Span | None = None
    follows: tuple[Value, ...] = ()
    state: str | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class DroppedValue:
    """A leaf that a plan drops, as a value.

    Attributes:
      value: the leaf.
      drop: the plan's decision.
      twin: the leaf that it has to equal, after the ops of the drop; None where none is asserted.
    """

    value: Value
    drop: Dropped
    twin: Value | None = None


@dataclass(frozen=True)
class ChainEffect:
    """The effect of a chain of plans.

    Attributes:
      plans: the plans in order.
      values: every leaf of the last target.
      drops: the leaves that a plan drops.
      created: the leaves that a plan creates.
      first: the effect of the first plan.
      after: the effect of the other plans; None for a chain of one.
    """

    plans: tuple[Plan, ...]
    values: Mapping[KeyPath, Value]
    drops: tuple[DroppedValue, ...]
    created: frozenset[CreatedValue]
    first: PlanEffect
    after: ChainEffect | None = None

    @cached_property
    def notes(self) -> Mapping[KeyPath, LeafNote]:
        """The notes about the leaves of the last target."""
        if self.after is None:
            return {path: self.first.notes.get(path) or LeafNote(path) for path in self.values}
        for chain in reversed(self._later):  # the last first, so that no call is nested deeply
            notes = chain.notes
        return {path: self.first.noted(note) for path, note in notes.items()}

    @property
    def _later(self) -> list[ChainEffect]:
        """The chains that follow the first plan, the second, and so on."""
        found, chain = list[ChainEffect](), self.after
        while chain is not None:
            found.append(chain)
            chain = chain.after
        return found


def of_last(plan: Plan, expressions: Expressions) -> ChainEffect:
    """Returns the effect of the last plan of a chain."""
    effect = PlanEffect(plan, {}, expressions)
    sources = {path: expressions.source(path, leaf.aval) for path, leaf in plan.target.leaves.items()}
    return ChainEffect((plan,), effect.of_all(sources), _drops(plan, expressions), effect.created, effect)


def preceded(chain: ChainEffect, plan: Plan, expressions: Expressions) -> ChainEffect:
    """Returns the effect of a plan followed by a chain, which is made for the plan's target."""
    effect = PlanEffect(plan, renamed_as_read(plan.target), expressions)
    drops = (*_drops(plan, expressions), *map(effect.after_drop, chain.drops))
    created = chain.created | effect.created
    return ChainEffect((plan, *chain.plans), effect.of_all(chain.values), drops, created, effect, chain)


class PlanEffect:
    """The effect of one plan on the leaves of its target that do not just keep their key path.

    Args:
      plan: the plan.
      renamed: the leaves of its target that a reader finds under another key path, with that path.
      expressions: those of the chain.

    Attributes:
      changed: these leaves, with their values.
      created: those of these values that the plan creates.
    """

    def __init__(self, plan: Plan, renamed: Mapping[KeyPath, KeyPath], expressions: Expressions) -> None:
        self.changed: dict[SourceValue, Value] = {}
        self._renamed = renamed
        self._expressions = expressions
        self._leaves = plan.source.tree.leaves
        self._creations = plan.created
        self._done: dict[Value, Value] = {}
        target = plan.target.leaves
        self._tasks = [task for task in plan.tasks if not self._keeps(task, target)]
        for task in self._tasks:
            for path, value in self._results(task):
                self._set(path, target[path], value)
        made = [CreatedValue(creation, plan.rules) for creation in plan.created]
        for value in made:
            self._set(value.creation.target, target[value.creation.target], value)
        self.created = frozenset(made)

    def _keeps(self, task: Task, target: Mapping[KeyPath, AbstractLeaf]) -> bool:
        """Whether a task does nothing but keep a leaf, and no rule or optimizer decides about it."""
        if task.steps or task.rule or task.follows or task.state or task.remark or task.sources != task.targets:
            return False
        (path, *more), before = task.targets, task.in_avals[0]
        after = target[path].aval
        return not more and path not in self._renamed and (before is after or before == after)

    def _set(self, path: KeyPath, leaf: AbstractLeaf, value: Value) -> None:
        self.changed[self._expressions.source(self._renamed.get(path, path), leaf.aval)] = value

    @cached_property
    def notes(self) -> Mapping[KeyPath, LeafNote]:
        """The notes about the changed leaves, by key path."""
        of_tasks = ((path, note) for task in self._tasks for note in [self._note(task)] for path in task.targets)
        of_created = ((creation.target, LeafNote(None, creation.rule)) for creation in self._creations)
        return {self._renamed.get(path, path): note for path, note in (*of_tasks, *of_created)}

    def _source(self, path: KeyPath) -> SourceValue:
        return self._expressions.source(path, self._leaves[path].aval)

    def _results(self, task: Task) -> Iterable[tuple[KeyPath, Value]]:
        """Returns the targets of a task with their values."""
        arrays: list[Value] = [self._source(path) for path in task.sources]
        if not task.steps:
            return zip(task.targets, arrays[:1] * len(task.targets), strict=True)
        for step in task.steps:
            arrays = [result for op, group in step.calls for result in results_of(op, tuple(arrays[i] for i in group))]
        return zip(task.targets, (arrays[index] for index in task.outputs), strict=True)

    def _note(self, task: Task) -> LeafNote:
        follows = (self._source(task.follows),) if task.follows and task.follows in self._leaves else ()
        return LeafNote(task.sources[0] if task.sources else None, task.rule, follows, task.state, task.remark)

    def of_all(self, values: Mapping[KeyPath, Value]) -> dict[KeyPath, Value]:
        """Returns values over the target as values over the source; most of them are leaves that do not change."""
        changed, after = self.changed, self.after
        return {
            path: changed.get(value, value) if isinstance(value, SourceValue) else after(value)
            for path, value in values.items()
        }

    def after(self, value: Value) -> Value:
        """Returns a value over the target as a value over the source; the same object if no leaf of it changes."""
        if isinstance(value, SourceValue):
            return self.changed.get(value, value)
        if self.changed.keys().isdisjoint(value.origins):
            return value
        if value not in self._done:
            for one in below(value, self._done):
                self._done[one] = self._replaced(one)
        return self._done[value]

    def after_drop(self, dropped: DroppedValue) -> DroppedValue:
        """Returns a dropped leaf of the target over the source."""
        twin = dropped.twin
        return replace(dropped, value=self.after(dropped.value), twin=None if twin is None else self.after(twin))

    def _replaced(self, value: Value) -> Value:
        """Returns a value over the source; the values below it are known."""
        if not isinstance(value, CallResult) or self.changed.keys().isdisjoint(value.origins):
            return self.after(value)
        inputs = tuple(self._done[one] for one in value.call.inputs)
        return CallResult(OpCall(value.call.op, inputs, value.call.results), value.index)

    def noted(self, note: LeafNote) -> LeafNote:
        """Returns a note about a leaf of a chain, continued by the note of this plan."""
        before = self.notes.get(note.origin) if note.origin is not None else None
        follows = tuple(map(self.after, note.follows)) if note.follows else ()
        if before is None:
            return note if follows == note.follows else replace(note, follows=follows)
        return LeafNote(
            before.origin,
            note.rule or before.rule,
            tuple(dict.fromkeys((*follows, *before.follows))),
            note.state or before.state,
            note.remark or before.remark,
        )


def _drops(plan: Plan, expressions: Expressions) -> tuple[DroppedValue, ...]:
    leaves = plan.source.tree.leaves

    def of_leaf(path: KeyPath) -> Value:
        return expressions.source(path, leaves[path].aval)

    return tuple(
        DroppedValue(
            expressions.source(drop.source, drop.leaf.aval), drop, None if drop.equal is None else of_leaf(drop.equal)
        )
        for drop in plan.dropped
    )
