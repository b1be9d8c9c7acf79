"""Joins tasks that read the same source leaves, because a rule with `copy: true` takes them too.

Two tasks share no leaf, so that each can run alone. The joined task carries out the steps of one, while it keeps the
arrays of the other, and then those of the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from migrate.ops.base import Op
from migrate.ops.keep import Keep
from migrate.planning.model import Step, Task
from migrate.rules.model import Move, Rule
from migrate.tree import AbstractArray, KeyPath


def joined_tasks(tasks: Sequence[Task], rules: Sequence[Rule]) -> tuple[Task, ...]:
    """Returns the tasks, in order, with those that share a source leaf joined, copies last in each."""
    copies = {rule.span for rule in rules if isinstance(rule, Move) and rule.copy}
    uses = Counter(path for task in tasks for path in set(task.sources))
    if not any(count > 1 for count in uses.values()):
        return tuple(tasks)
    found: list[Task] = []
    holders: dict[KeyPath, int] = {}
    for task in tasks:
        at = next((holders[path] for path in task.sources if path in holders), None)
        if at is None:
            found.append(task)
            at = len(found) - 1
        else:
            pair = (task, found[at]) if found[at].rule in copies else (found[at], task)
            found[at] = _joined(*pair)
        holders |= dict.fromkeys(task.sources, at)
    return tuple(found)


def _joined(first: Task, second: Task) -> Task:
    avals = dict(zip((*first.sources, *second.sources), (*first.in_avals, *second.in_avals), strict=True))
    arrays = list(avals.values())
    ends = [[list(avals).index(path) for path in task.sources] for task in (first, second)]
    steps: list[Step] = []
    for one, task in enumerate((first, second)):
        for step in task.steps:
            calls = [(op, tuple(ends[one][index] for index in group)) for op, group in step.calls]
            kept: list[tuple[Op, tuple[int, ...]]] = [(Keep(), (index,)) for index in ends[1 - one]]
            made = [_aval(arrays[index]) for index in ends[1 - one]] if one else []
            count = len(made)
            made += [aval for op, group in calls for aval in op.infer(*(_aval(arrays[index]) for index in group))]
            steps.append(_step([*kept, *calls] if one else [*calls, *kept], step.over))
            if one:
                ends = [list(range(count)), list(range(count, len(made)))]
                arrays = [*made]
            else:
                arrays = [*made, *(arrays[index] for index in ends[1])]
                ends = [list(range(len(made))), list(range(len(made), len(arrays)))]
    return replace(
        first,
        sources=tuple(avals),
        targets=(*first.targets, *second.targets),
        outputs=tuple(ends[at][index] for at, task in enumerate((first, second)) for index in task.outputs),
        steps=tuple(steps),
        in_avals=tuple(avals.values()),
        out_avals=(*first.out_avals, *second.out_avals),
        follows=first.follows or second.follows,
        state=first.state or second.state,
        remark=first.remark or second.remark,
    )


def _step(calls: Sequence[tuple[Op, tuple[int, ...]]], over: str | None) -> Step:
    ops = [op for op, _ in calls]
    named = next((op for op in ops if not isinstance(op, Keep)), ops[0])
    alike = all(op == named for op in ops)
    return Step(named, tuple(group for _, group in calls), over, () if alike else tuple(ops))


def _aval(aval: AbstractArray | None) -> AbstractArray:
    assert aval is not None, "ops are planned for arrays only"
    return aval
