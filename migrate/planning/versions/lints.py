"""Lints of a released rule file: what its plan loses, what nothing but the file proves, and what has no way back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from migrate.codes import RoundedLeaves, StepWithoutInverse, UnprobedLeaves, UnrecoverableDrop
from migrate.errors import Diagnostic, Span
from migrate.ops.base import NotInvertible, Op
from migrate.planning.model import Plan, Task
from migrate.planning.stages import Avals, stages
from migrate.tree import KeyPath, format_path

_Tasks = Mapping[Span, Sequence[Task]]
"""Tasks by the place of their rule."""


def lint(plan: Plan) -> Iterator[Diagnostic]:
    """Yields the lints of an applicable plan: one for each rule and reason, with its leaves.

    Moments are judged with their params, except where they are dropped.
    """
    start = Span(plan.rules.path, 1, 1, 1, 2)  # the place of leaves that no rule names
    tasks: defaultdict[Span, list[Task]] = defaultdict(list)
    for task in plan.tasks:
        if not (task.follows or task.state):
            tasks[task.rule or start].append(task)
    yield from _drops(plan, start)
    yield from _rounded(tasks)
    if plan.rules.probe is None:
        yield from _unproved(tasks)
    yield from _without_inverse(tasks)


def _drops(plan: Plan, start: Span) -> Iterator[Diagnostic]:
    dropped: defaultdict[Span, list[KeyPath]] = defaultdict(list)
    for drop in plan.dropped:
        if drop.leaf.has_data and not drop.asserts:
            dropped[drop.rule or start].append(drop.source)
    for span, paths in dropped.items():
        yield UnrecoverableDrop.at(
            "nothing restores the values of the leaves that are dropped here",
            span=span,
            paths=map(format_path, paths),
            help="if all values are zero, add `assert: zero` to the rule",
        )


def _unproved(tasks: _Tasks) -> Iterator[Diagnostic]:
    for span, members in tasks.items():
        paths = [path for task in members if task.proved == "none" for path in task.targets]
        if paths:
            yield UnprobedLeaves.at(
                "only this rule determines the sources of these leaves, and no probe checks it",
                span=span,
                paths=map(format_path, paths),
                help="`probe: module:function` in the rule file compares the outputs of both models",
            )


def _rounded(tasks: _Tasks) -> Iterator[Diagnostic]:
    for span, members in tasks.items():
        by_dtype: defaultdict[str, dict[KeyPath, None]] = defaultdict(dict)
        for task, op, avals in _calls(members):
            if op.only_casts and not op.restores(*avals):
                by_dtype[op.infer(*avals)[0].dtype] |= dict.fromkeys(task.sources)
        for dtype, paths in by_dtype.items():
            yield RoundedLeaves.at(
                f"the cast to {dtype} may change values of these leaves",
                span=span,
                paths=map(format_path, paths),
                help="without `lossy: true`, `apply` refuses a cast that changes a value",
            )


def _without_inverse(tasks: _Tasks) -> Iterator[Diagnostic]:
    for span, members in tasks.items():
        by_reason: defaultdict[tuple[str, str], dict[KeyPath, None]] = defaultdict(dict)
        for task, op, avals in _calls(members):
            reason = _why_not_invertible(op, avals)
            if reason:
                by_reason[op.name, reason] |= dict.fromkeys(task.sources)
        for (name, reason), paths in by_reason.items():
            yield StepWithoutInverse.at(
                f"`{name}` has no inverse: {reason}",
                span=span,
                paths=map(format_path, paths),
                help="`migrate invert` leaves these leaves out; keep the old checkpoint to go back",
            )


@lru_cache(maxsize=1 << 12)  # many leaves have few shapes
def _why_not_invertible(op: Op, avals: Avals) -> str:
    inverse = op.inverse(*avals)
    return inverse.reason if isinstance(inverse, NotInvertible) else ""


def _calls(tasks: Iterable[Task]) -> Iterator[tuple[Task, Op, Avals]]:
    """Yields each op of the tasks with the abstract arrays of its inputs."""
    for task in tasks:
        for step, arrays in stages(task) if task.steps else ():
            for op, group in step.calls:
                yield task, op, tuple(arrays[index] for index in group)
