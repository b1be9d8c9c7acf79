"""The effect of a chain of plans: every leaf of the last target as an expression over leaves of the first source.

A composition grows at its front, so that the paths from all versions to the newest one cost one step each: the path
from a version is its first step, followed by the path from the version after it. Its expressions are not simplified;
`Expressions.simplified` does that from the leaves up, whatever the order in which the chain was composed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    values, notes = _effect(plan, expressions)
    return Composition((plan,), values, notes, _drops(plan, expressions))


def preceded(chain: Composition, plan: Plan, expressions: Expressions) -> Composition:
    """Returns the effect of a plan followed by a chain, which is made for the plan's target."""
    made, marks = _effect(plan, expressions)
    names = as_read(plan.target)[1]
    replaced = _Replacement({names[path]: value for path, value in made.items()})
    notes = {names[path]: note for path, note in marks.items()}
    return Composition(
        (plan, *chain.plans),
        {path: replaced(value) for path, value in chain.values.items()},
        {path: _joined(note, notes, replaced) for path, note in chain.notes.items()},
        (*_drops(plan, expressions), *((replaced(value), drop) for value, drop in chain.drops)),
    )


class _Replacement:
    """Replaces the leaves of the source in values; a value without a replaced leaf stays the same object."""

    def __init__(self, leaves: Mapping[KeyPath, Value]) -> None:
        self._leaves = leaves
        self._done: dict[Value, Value] = {}

    def __call__(self, value: Value) -> Value:
        if isinstance(value, SourceValue):
            return self._leaves[value.path]
        if value not in self._done:
            for one in below(value, self._done):
                self._done[one] = self._replaced(one)
        return self._done[value]

    def _replaced(self, value: Value) -> Value:
        """Returns the value; those below it are replaced already."""
        if isinstance(value, SourceValue):
            return self._leaves[value.path]
        if isinstance(value, CreatedValue):
            return value
        inputs = tuple(self._done[one] for one in value.call.inputs)
        if all(one is other for one, other in zip(inputs, value.call.inputs, strict=True)):
            return value
        return CallResult(OpCall(value.call.op, inputs, value.call.results), value.index)


def _effect(plan: Plan, expressions: Expressions) -> tuple[dict[KeyPath, Value], dict[KeyPath, Note]]:
    """Returns the values and notes of the leaves of a plan's target, in the order of the target's tree."""
    leaves = plan.source.tree.leaves
    values: dict[KeyPath, Value] = {}
    notes: dict[KeyPath, Note] = {}
    for task in plan.tasks:
        note = _note(task, expressions, plan)
        for path, value in _results(task, [expressions.source(p, leaves[p].aval) for p in task.sources]):
            values[path], notes[path] = value, note
    for creation in plan.created:
        values[creation.target] = CreatedValue(creation, plan.rules)
        notes[creation.target] = Note(None, creation.rule)
    return {path: values[path] for path in plan.target.leaves if path in values}, notes


def _results(task: Task, arrays: Sequence[Value]) -> Iterator[tuple[KeyPath, Value]]:
    """Yields the targets of a task with their values, from those of its sources."""
    for step in task.steps:
        arrays = [result for op, group in step.calls for result in results_of(op, tuple(arrays[i] for i in group))]
    outputs = task.outputs if task.steps else (0,) * len(task.targets)
    yield from ((path, arrays[index]) for path, index in zip(task.targets, outputs, strict=True))


def _note(task: Task, expressions: Expressions, plan: Plan) -> Note:
    param = plan.source.tree.leaves.get(task.follows) if task.follows else None
    follows = (expressions.source(task.follows, param.aval),) if task.follows and param else ()
    return Note(task.sources[0] if task.sources else None, task.rule, follows, task.state, task.remark)


def _joined(note: Note, before: Mapping[KeyPath, Note], replaced: _Replacement) -> Note:
    """Returns a note about the leaf of a chain, continued by the note of the plan before it."""
    first = before.get(note.origin) if note.origin is not None else None
    follows = [replaced(param) for param in note.follows]
    if first is None:
        return Note(None, note.rule, tuple(follows), note.state, note.remark)
    return Note(
        first.origin,
        note.rule or first.rule,
        tuple(dict.fromkeys((*follows, *first.follows))),
        note.state or first.state,
        note.remark or first.remark,
    )


def _drops(plan: Plan, expressions: Expressions) -> tuple[tuple[Value, Dropped], ...]:
    return tuple((expressions.source(drop.source, drop.leaf.aval), drop) for drop in plan.dropped)
