"""Lints of a released rule file: what its plan loses, what nothing but the file proves, and what has no way back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from migrate.codes import RoundedLeaves, StepWithoutInverse, UnprobedLeaves, UnrecoverableDrop
from migrate.errors import Code, Diagnostic, Span
from migrate.ops.base import NotInvertible, Op
from migrate.planning.invert.expressions import Avals, stages
from migrate.planning.model import Plan, Task
from migrate.tree import KeyPath, format_path


@dataclass(frozen=True, slots=True)
class _Lint:
    """A lint without its leaves; equal ones make one diagnostic."""

    code: type[Code]
    message: str
    help: str
    span: Span


def lint(plan: Plan) -> Iterator[Diagnostic]:
    """Yields the lints of an applicable plan: one for each rule and reason, with its leaves.

    Moments are judged with their params, except where they are dropped.
    """
    groups: defaultdict[_Lint, list[KeyPath]] = defaultdict(list)
    for one, paths in (*_drops(plan), *_tasks(plan)):
        groups[one] += paths
    order = (UnrecoverableDrop, RoundedLeaves, UnprobedLeaves, StepWithoutInverse)
    for one in sorted(groups, key=lambda one: (order.index(one.code), one.span.file, one.span.line)):
        names = map(format_path, dict.fromkeys(groups[one]))
        yield one.code.at(one.message, span=one.span, paths=names, help=one.help)


def _drops(plan: Plan) -> Iterator[tuple[_Lint, Iterable[KeyPath]]]:
    for drop in plan.dropped:
        if drop.leaf.has_data and not drop.assert_zero:
            message = "nothing restores the values of the leaves that are dropped here"
            advice = "if all values are zero, add `assert: zero` to the rule"
            yield _Lint(UnrecoverableDrop, message, advice, _place(plan, drop.rule)), [drop.source]


def _tasks(plan: Plan) -> Iterator[tuple[_Lint, Iterable[KeyPath]]]:
    reasons: dict[tuple[Op, Avals], str] = {}
    for task in plan.tasks:
        if task.follows or task.state:
            continue
        span = _place(plan, task.rule)
        if task.proved == "none" and plan.rules.probe is None:
            message = "only this rule determines the sources of these leaves, and no probe checks it"
            advice = "`probe: module:function` in the rule file compares the outputs of both models"
            yield _Lint(UnprobedLeaves, message, advice, span), task.targets
        for op, avals in _calls(task):
            if op.only_casts and not op.restores(*avals):
                message = f"the cast to {op.infer(*avals)[0].dtype} may change values of these leaves"
                advice = "without `lossy: true`, `apply` refuses a cast that changes a value"
                yield _Lint(RoundedLeaves, message, advice, span), task.sources
            reason = reasons.get((op, avals))
            if reason is None:
                inverse = op.inverse(*avals)
                reason = reasons[op, avals] = inverse.reason if isinstance(inverse, NotInvertible) else ""
            if reason:
                message = f"`{op.name}` has no inverse: {reason}"
                advice = "`migrate invert` leaves these leaves out; keep the old checkpoint to go back"
                yield _Lint(StepWithoutInverse, message, advice, span), task.sources


def _calls(task: Task) -> Iterator[tuple[Op, Avals]]:
    """Yields each op of a task with the abstract arrays of its inputs."""
    for step, arrays in stages(task) if task.steps else ():
        for op, group in step.calls:
            yield op, tuple(arrays[index] for index in group)


def _place(plan: Plan, rule: Span | None) -> Span:
    """Returns the place of a rule; the start of the file for leaves that no rule names."""
    return rule or Span(plan.rules.path, 1, 1, 1, 2)
