"""The abstract arrays of a task between its ops."""

from __future__ import annotations

from migrate.ops.base import Op
from migrate.planning.model import Step, Task
from migrate.tree import AbstractArray

Avals = tuple[AbstractArray, ...]


def calls(task: Task) -> list[tuple[Op, Avals]]:
    """Returns each call of an op with the abstract arrays of its inputs."""
    return [(op, tuple(arrays[i] for i in group)) for step, arrays in stages(task) for op, group in step.calls]


def stages(task: Task) -> list[tuple[Step, Avals]]:
    """Returns each step with the abstract arrays of its inputs."""
    arrays = tuple(aval for aval in task.in_avals if aval is not None)
    found: list[tuple[Step, Avals]] = []
    for step in task.steps:
        found.append((step, arrays))
        arrays = tuple(aval for op, group in step.calls for aval in op.infer(*(arrays[i] for i in group)))
    return found
