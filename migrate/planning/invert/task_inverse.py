"""The inverse of one task: which target each source is restored from, through which ops, and what is rounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migrate.ops.base import NotInvertible, Op
from migrate.planning.invert.expressions import Expression, identity
from migrate.planning.invert.forks import ops_between, without_forks
from migrate.planning.invert.spellings import OpUse
from migrate.planning.model import Step, Task
from migrate.planning.stages import Avals, stages
from migrate.tree import AbstractArray, KeyPath


@dataclass(frozen=True, slots=True)
class InverseStep:
    """The inverse of one step.

    Attributes:
      uses: the inverse of each call of the op.
      forward: the step that it inverts.
    """

    uses: tuple[OpUse, ...]
    forward: Step


@dataclass(frozen=True, slots=True)
class Tie:
    """A target that is not used.

    Attributes:
      path: its key path.
      twin: the target that is used, to which it is assumed to be equal.
      ops: the ops that lead from it to the twin; None where they are not known.
    """

    path: KeyPath
    twin: KeyPath
    ops: tuple[Op, ...] | None = ()


@dataclass(frozen=True, slots=True)
class TaskInverse:
    """How the sources of a task are restored.

    Attributes:
      task: the task that is inverted.
      origins: for each final array of the task, the target from which it is restored.
      ties: targets that are not used.
      steps: the inverse steps; the first inverts the last step of the task.
      expected: the expression of each source.
      rounded: why the task may have changed values; empty if it cannot.
    """

    task: Task
    origins: tuple[KeyPath, ...]
    ties: tuple[Tie, ...]
    steps: tuple[InverseStep, ...]
    expected: Mapping[KeyPath, Expression]
    rounded: str = ""


def invert_task(task: Task, names: Mapping[KeyPath, KeyPath]) -> TaskInverse | NotInvertible:
    """Returns the inverse of a task, or why there is none.

    Args:
      task: of an applicable plan.
      names: the key paths of the target as a reader finds them.
    """
    origins: dict[int, KeyPath] = {}
    ties: list[Tie] = []
    plain, others = without_forks(task)
    for path, output in zip(plain.targets, plain.outputs, strict=True):
        if output in origins:
            ties.append(Tie(names[path], origins[output]))
        else:
            origins[output] = names[path]
    ties += [Tie(names[path], names[twin], ops_between(task, path, twin)) for path, twin in others.items()]
    chosen = tuple(origins[output] for output in sorted(origins))
    found: list[Expression] = list(chosen)
    steps: list[InverseStep] = []
    reasons: list[str] = []
    for step, arrays in reversed(stages(plain)):
        undone = _undo(step, arrays)
        if isinstance(undone, NotInvertible):
            return undone
        found = _before(step, undone, arrays, found)
        steps.append(InverseStep(undone, step))
        calls = [(op, [arrays[index] for index in group]) for op, group in step.calls]
        reasons += [_loss(op, inputs) for op, inputs in calls if not op.restores(*inputs)]
    return TaskInverse(
        task,
        chosen,
        tuple(ties),
        tuple(steps),
        dict(zip(task.sources, found, strict=True)),
        "; ".join(dict.fromkeys(reasons)),
    )


def _loss(op: Op, inputs: Sequence[AbstractArray]) -> str:
    """Returns why the inverse of an op may not restore every bit, and which numbers it does not, if that is known."""
    which = op.unrestored(*inputs)
    return f"{op.loss}: {which}" if which else op.loss


def _undo(step: Step, arrays: Avals) -> tuple[OpUse, ...] | NotInvertible:
    uses: list[OpUse] = []
    for op, group in step.calls:
        given = tuple(arrays[index] for index in group)
        inverse = op.inverse(*given)
        if isinstance(inverse, NotInvertible):
            return inverse
        count = len(group) if inverse.role == "extend" else None
        uses.append(OpUse(inverse, op.infer(*given), count, op))
    return tuple(uses)


def _before(step: Step, undone: Sequence[OpUse], arrays: Avals, after: Sequence[Expression]) -> list[Expression]:
    """Returns the expressions of a step's inputs from those of its results."""
    before: list[Expression] = [None] * len(arrays)
    at = 0
    for group, use in zip(step.groups, undone, strict=True):
        results = tuple(after[at : at + len(use.inputs)])
        at += len(use.inputs)
        for index, source in enumerate(group):
            before[source] = (identity(use.op, use.inputs), results, index)
    return before
