"""The effect of a chain of plans: every leaf of the last target as an expression over leaves of the first source.

A composition grows at its front, so that the paths from all versions to the newest one cost one step each: the path
from a version is its first step, followed by the path from the version after it. Its expressions are not simplified;
`Expressions.simplified` does that from the leaves up, whatever the order in which the chain was composed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from migrate.errors import Span
from migrate.planning.invert.readback import names_as_read
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
class ChainEffect:
    """The effect of a chain of plans.

    Attributes:
      plans: the plans in order.
      values: every leaf of the last target.
      notes: the notes about these leaves.
      drops: the leaves that a plan drops, as values, with the plan's decision.
    """

    plans: tuple[Plan, ...]
    values: Mapping[KeyPath, Value]
    notes: Mapping[KeyPath, LeafNote]
    drops: tuple[tuple[Value, Dropped], ...]


def of_last(plan: Plan, expressions: Expressions) -> ChainEffect:
    """Returns the effect of the last plan of a chain."""
    leaves = plan.target.leaves
    effect = _Effect(plan, {path: path for path in leaves}, expressions)
    values = {path: effect.after(expressions.source(path, leaf.aval)) for path, leaf in leaves.items()}
    notes = {path: effect.notes.get(path) or LeafNote(path) for path in leaves}
    return ChainEffect((plan,), values, notes, _drops(plan, expressions))


def preceded(chain: ChainEffect, plan: Plan, expressions: Expressions) -> ChainEffect:
    """Returns the effect of a plan followed by a chain, which is made for the plan's target."""
    effect = _Effect(plan, names_as_read(plan.target), expressions)
    return ChainEffect(
        (plan, *chain.plans),
        {path: effect.after(value) for path, value in chain.values.items()},
        {path: effect.noted(note) for path, note in chain.notes.items()},
        (*_drops(plan, expressions), *((effect.after(value), drop) for value, drop in chain.drops)),
    )


class _Effect:
    """The effect of one plan on the leaves of its target that do not just keep their key path.

    Attributes:
      changed: these leaves, with their values.
      notes: the notes about them, by key path.
    """

    def __init__(self, plan: Plan, names: Mapping[KeyPath, KeyPath], expressions: Expressions) -> None:
        self.changed: dict[SourceValue, Value] = {}
        self.notes: dict[KeyPath, LeafNote] = {}
        self._expressions = expressions
        self._leaves = plan.source.tree.leaves
        self._done: dict[Value, Value] = {}
        target = plan.target.leaves
        for task in plan.tasks:
            first = task.targets[0]
            if _keeps_path(task) and names[first] == first and task.in_avals[0] == target[first].aval:
                continue
            note = self._note(task)
            for path, value in self._results(task):
                self._set(names[path], target[path], value, note)
        for creation in plan.created:
            path = creation.target
            self._set(names[path], target[path], CreatedValue(creation, plan.rules), LeafNote(None, creation.rule))

    def _set(self, name: KeyPath, leaf: AbstractLeaf, value: Value, note: LeafNote) -> None:
        self.changed[self._expressions.source(name, leaf.aval)] = value
        self.notes[name] = note

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


def _keeps_path(task: Task) -> bool:
    """Whether a task does nothing but keep a leaf, and no rule or optimizer decides about it."""
    decided = task.steps or task.rule or task.follows or task.state or task.remark
    return not decided and len(task.targets) == 1 and task.sources == task.targets


def _drops(plan: Plan, expressions: Expressions) -> tuple[tuple[Value, Dropped], ...]:
    return tuple((expressions.source(drop.source, drop.leaf.aval), drop) for drop in plan.dropped)
