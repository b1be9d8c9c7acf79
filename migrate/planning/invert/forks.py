"""Tasks in which one array becomes several that differ, because the template's leaves bind an op differently.

A source is restored from one of them; the others are left out of the inverse, like targets that are tied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from migrate.ops.base import NotInvertible, Op
from migrate.ops.keep import Keep
from migrate.planning.model import Step, Task
from migrate.planning.stages import Avals, stages
from migrate.tree import KeyPath


def without_forks(task: Task) -> tuple[Task, Mapping[KeyPath, KeyPath]]:
    """Returns the task with one result for each array, and its other targets, each with the target that replaces it."""
    if not any(step.bound for step in task.steps):
        return task, {}
    twins = list(range(len(task.sources)))
    steps: list[Step] = []
    for step, arrays in stages(task):
        kept, twins = _chosen(step, arrays, twins)
        steps.append(kept)
    numbers = _numbers(twins)
    ends = list(zip(task.targets, task.outputs, task.out_avals, strict=True))
    first = {output: path for path, output, _ in reversed(ends)}
    kept_ends = [end for end in ends if twins[end[1]] == end[1]]
    reduced = replace(
        task,
        targets=tuple(path for path, _, _ in kept_ends),
        outputs=tuple(numbers[output] for _, output, _ in kept_ends),
        out_avals=tuple(aval for _, _, aval in kept_ends),
        steps=tuple(step for step in steps if not _passes_on(step)),
    )
    return reduced, {path: first[twins[output]] for path, output, _ in ends if twins[output] != output}


def _passes_on(step: Step) -> bool:
    """Whether a step only passes its arrays on, in order."""
    in_order = step.groups == tuple((at,) for at in range(len(step.groups)))
    return in_order and all(isinstance(op, Keep) for op in step.ops)


def _chosen(step: Step, arrays: Avals, twins: list[int]) -> tuple[Step, list[int]]:
    """Returns the step without calls on arrays that another call replaces, and the twin of each result.

    Args:
      step: the step.
      arrays: its inputs.
      twins: for each input, the index of the input that replaces it, which is its own where none does.
    """
    numbers = _numbers(twins)
    calls = [(op, group, tuple(twins[index] for index in group)) for op, group in step.calls]
    best: dict[tuple[int, ...], int] = {}
    for at, (op, group, meant) in enumerate(calls):
        if group == meant and (meant not in best or _prefers(op, calls[best[meant]][0], group, arrays)):
            best[meant] = at
    starts: list[int] = []
    count = 0
    for op, group, _ in calls:
        starts.append(count)
        count += len(op.infer(*(arrays[index] for index in group)))
    ends = [*starts[1:], count]
    found = [starts[best[meant]] + k for at, (_, _, meant) in enumerate(calls) for k in range(ends[at] - starts[at])]
    chosen = [call for at, call in enumerate(calls) if best[call[2]] == at]
    ops = [op for op, _, _ in chosen]
    groups = tuple(tuple(numbers[index] for index in group) for _, group, _ in chosen)
    alike = all(op == ops[0] for op in ops)
    return Step(ops[0], groups, step.over, () if alike else tuple(ops)), found


def _numbers(twins: list[int]) -> Mapping[int, int]:
    """Returns the positions of the arrays that remain, by their old positions."""
    return {old: new for new, old in enumerate(sorted(set(twins)))}


def _prefers(op: Op, other: Op, group: tuple[int, ...], arrays: Avals) -> bool:
    given = [arrays[index] for index in group]
    return op.restores(*given) and not other.restores(*given)


def ops_between(task: Task, path: KeyPath, twin: KeyPath) -> tuple[Op, ...] | None:
    """Returns the ops that lead from one target to another that is the unchanged source; None where it is not."""
    if len(task.sources) != 1 or _ops_to(task, twin) != ():
        return None
    (aval,) = task.in_avals
    found: list[Op] = []
    for op in _ops_to(task, path) or ():
        assert aval is not None
        back = op.inverse(aval)
        if isinstance(back, NotInvertible) or not op.restores(aval):
            return None
        (aval,) = op.infer(aval)
        found.insert(0, back)
    return tuple(found) or None


def _ops_to(task: Task, path: KeyPath) -> tuple[Op, ...] | None:
    """Returns the ops that lead from the only source to a target; None where arrays are joined or divided."""
    at = task.outputs[task.targets.index(path)]
    found: list[Op] = []
    for step in reversed(task.steps):
        calls = list(step.calls)
        if any(len(group) != 1 or op.role != "map" for op, group in calls):
            return None
        op, (at,) = calls[at]
        if not isinstance(op, Keep):
            found.insert(0, op)
    return tuple(found)
