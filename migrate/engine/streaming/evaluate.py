"""The values of a task's targets, from the values of its sources. Decides nothing: the plan said everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from migrate.codes import InternalError, LossyCast
from migrate.engine.streaming.array_bytes import contiguous
from migrate.errors import MigrateError, RefusedError
from migrate.formats.base import Value
from migrate.formats.reader import Reader
from migrate.ops.base import Op, OpError, avals
from migrate.tree import AbstractLeaf, AbstractTree, Container, KeyPath, format_path

if TYPE_CHECKING:
    import numpy as np

    from migrate.planning.model import Task

    Array = np.ndarray[Any, Any]


EMPTY: Mapping[Container, Any] = {"dict": {}, "list": [], "tuple": ()}
"""The value of an empty node."""


def evaluate(task: Task, reader: Reader, target: AbstractTree) -> dict[KeyPath, Value]:
    """Reads a task's sources and carries out its steps.

    Args:
      task: what to do.
      reader: where the sources are.
      target: the tree that is being written; says whether a value is an array or a Python number.

    Returns:
      The value of each target key path; targets that are tied share one array.

    Raises:
      RefusedError: a cast would change a value (M503).
      MigrateError: an array is not what the plan inferred, which is a bug (M901).
    """
    if not task.steps:
        value = reader.read(task.sources[0])
        return {path: as_kind(value, target.leaves[path]) for path in task.targets}
    arrays = _carry_out(task, [as_array(reader.read(path)) for path in task.sources])
    values = {path: arrays[index] for path, index in zip(task.targets, task.outputs, strict=True)}
    _check(task, values)
    return {path: as_kind(value, target.leaves[path]) for path, value in values.items()}


def _carry_out(task: Task, arrays: list[Array]) -> list[Array]:
    for step in task.steps:
        results: list[Array] = []
        for group in step.groups:
            try:
                results += step.op.apply(*(_laid_out(step.op, arrays[index]) for index in group))
            except OpError as error:
                raise refusal(task, step.op, str(error)) from None
        arrays = results
    return arrays


def refusal(task: Task, op: Op, why: str) -> RefusedError:
    """What is raised when an op finds a value that does not allow it."""
    return RefusedError(
        LossyCast.at(
            f"`{op.name}` on `{format_path(task.sources[0])}`: {why}",
            span=task.rule,
            paths=map(format_path, task.sources),
            help="say `lossy: true` in the cast if the loss is meant",
        )
    )


def _laid_out(op: Op, array: Array) -> Array:
    """The array in the memory layout in which the op is fast: elementwise ops read values in order."""
    return contiguous(array) if op.elementwise else array


def _check(task: Task, values: dict[KeyPath, Array]) -> None:
    """The plan's shapes and dtypes were shown to the user; an array that differs must not be written."""
    for path, planned in zip(task.targets, task.out_avals, strict=True):
        (found,) = avals(values[path])
        if found != planned:
            raise MigrateError(
                InternalError.at(f"`{format_path(path)}` became {found}, but the plan said {planned}", span=task.rule)
            )


def as_array(value: Value) -> Array:
    """A leaf's value as an array; numbers become arrays without dimensions."""
    import numpy as np

    array: Array = np.asarray(value)
    return array


def as_kind(value: Value, leaf: AbstractLeaf) -> Value:
    """An array where the target has an array or a number; strings and empty nodes as they are."""
    if leaf.is_numeric:
        return as_array(value)
    return EMPTY[leaf.container] if leaf.kind == "empty" else value
