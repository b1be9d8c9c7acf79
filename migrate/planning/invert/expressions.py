"""Expressions: values that are equal when two tasks compute the same target.

An expression is the key path of a leaf, or an op with the expressions of its inputs and the index of the result. Ops
with different fields and the same effect on their inputs (`axis: 1` and `axis: -1` of a matrix) are equal, because they
have the same inverse.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from migrate.ops.base import NotInvertible, Op
from migrate.ops.keep import Keep
from migrate.planning.model import Task
from migrate.planning.stages import stages
from migrate.tree import AbstractArray, KeyPath

Expression = Hashable
"""The key path of a leaf, or an op with the expressions of its inputs."""


def identity(op: Op, inputs: Sequence[AbstractArray]) -> Hashable:
    """Returns a value that identifies the effect of an op on inputs of these shapes and dtypes.

    Raises:
      OpError: the op does not fit the inputs.
    """
    results = op.infer(*inputs)
    back = op.inverse(*inputs)
    return (op.name, op if isinstance(back, NotInvertible) else back, results)


def expressions(tasks: Iterable[Task]) -> dict[KeyPath, Expression]:
    """Returns the expression of every target of the tasks."""
    return {path: expression for task in tasks for path, expression in _of_task(task)}


def _of_task(task: Task) -> Iterable[tuple[KeyPath, Expression]]:
    found: list[Expression] = list(task.sources)
    for step, arrays in stages(task):
        results: list[Expression] = []
        for op, group in step.calls:
            given = tuple(arrays[index] for index in group)
            if isinstance(op, Keep):
                results += [found[index] for index in group]
                continue
            effect, inputs = identity(op, given), tuple(found[index] for index in group)
            results += [(effect, inputs, index) for index in range(len(op.infer(*given)))]
        found = results
    return ((path, found[index]) for path, index in zip(task.targets, task.outputs, strict=True))
