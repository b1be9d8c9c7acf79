"""The effect of a chain of plans: every leaf of the last target as an expression over leaves of the first source.

A composition grows at its front, so that the paths from all versions to the newest one cost one step each: the path
from a version is its first step, followed by the path from the version after it. Its expressions are not simplified;
`Expressions.simplified` does that from the leaves up, whatever the order in which the chain was composed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from migrate.errors import Span
from migrate.planning.invert.readback import as_read
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
from migrate.tree import KeyPath


@dataclass(frozen=True, slots=True)
class Note:
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
class Composition:
    """The effect of a chain of plans.

    Attributes:
      plans: the plans in order.
      values: every leaf of the last target.
      notes: the notes about these leaves.
      drops: the leaves that a plan drops, as values, with the plan's decision.
    """

    plans: tuple[Plan, ...]
    values: Mapping[KeyPath, Value]
    notes: Mapping[KeyPath, Note]
    drops: tuple[tuple[Value, Dropped], ...]


def of_last(plan: Plan, expressions: Expressions) -> Composition:
    """Returns the effect of the last plan of a chain."""
    effect = _Effect(plan, expressions)
    return Composition((plan,), effect.values, effect.notes, _drops(plan, expressions))


def preceded(chain: Composition, plan: Plan, expressions: Expressions) -> Composition:
    """Returns the effect of a plan followed by a chain, which is made for the plan's target."""
    effect = _Effect(plan, expressions)
    names = as_read(plan.target)[1]
    notes = {names[path]: note for path, note in effect.notes.items()}
    replaced = _Replacement({names[path]: value for path, value in effect.values.items()})
    return Composition(
        (plan, *chain.plans),
        {path: replaced(value) for path, value in chain.values.items()},
        {path: _joined(note, notes, replaced) for path, note in chain.notes.items()},
        (*_drops(plan, expressions), *((replaced(value), drop) for value, drop in chain.drops)),
    )


class _Replacement:
    """Replaces the leaves of the source in values; a value whose leaves stay the same remains the same object."""

    def __init__(self, leaves: Mapping[KeyPath, Value]) -> None:
        self._leaves = leaves
        self._done: dict[Value, Value] = {}

    def __call__(self, value: Value) -> Value:
        if isinstance(value, SourceValue):
            return self._leaves[value.path]
        if self._stays(value):
            return value
        if value not in self._done:
            for one in below(value, self._done):
                self._done[one] = self._replaced(one)
        return self._done[value]

    def _stays(self, value: Value) -> bool:
        return all(self._leaves[one.path] is one for one in value.origins if isinstance(one, SourceValue))

    def _replaced(self, value: Value) -> Value:
        """Returns the value; those below it are replaced already."""
        if isinstance(value, SourceValue):
            return self._leaves[value.path]
        if isinstance(value, CreatedValue) or self._stays(value):
            return value
        inputs = tuple(self._done[one] for one in value.call.inputs)
        return CallResult(OpCall(value.call.op, inputs, value.call.results), value.index)


class _Effect:
    """The effect of one plan.

    Attributes:
      values: the leaves of the target, in the order of its tree.
      notes: the notes about these leaves.
    """

    def __init__(self, plan: Plan, expressions: Expressions) -> None:
        self._leaves = plan.source.tree.leaves
        self._expressions = expressions
        values: dict[KeyPath, Value] = {}
        self.notes: dict[KeyPath, Note] = {}
        for task in plan.tasks:
            note = self._note(task)
            for path, value in self._results(task):
                values[path], self.notes[path] = value, note
        for creation in plan.created:
            values[creation.target] = CreatedValue(creation, plan.rules)
            self.notes[creation.target] = Note(None, creation.rule)
        self.values = {path: values[path] for path in plan.target.leaves if path in values}

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

    def _note(self, task: Task) -> Note:
        follows = (self._source(task.follows),) if task.follows and task.follows in self._leaves else ()
        return Note(task.sources[0] if task.sources else None, task.rule, follows, task.state, task.remark)


def _joined(note: Note, before: Mapping[KeyPath, Note], replaced: _Replacement) -> Note:
    """Returns a note about a leaf of a chain, continued by the note of the plan before it."""
    first = before.get(note.origin) if note.origin is not None else None
    if note.follows or first is None or first.origin != note.origin or first != Note(first.origin):
        return _continued(note, first or Note(None), replaced)
    return note


def _continued(note: Note, first: Note, replaced: _Replacement) -> Note:
    follows = dict.fromkeys((*map(replaced, note.follows), *first.follows))
    made = Note(
        first.origin, note.rule or first.rule, tuple(follows), note.state or first.state, note.remark or first.remark
    )
    return note if made == note else made


def _drops(plan: Plan, expressions: Expressions) -> tuple[tuple[Value, Dropped], ...]:
    return tuple((expressions.source(drop.source, drop.leaf.aval), drop) for drop in plan.dropped)
