"""Computes the values of a task's targets from the values of its sources; the plan has made every decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.codes import InternalError, LossyCast
from migrate.engine.streaming.array_bytes import contiguous
from migrate.engine.streaming.inputs import UNCOMPARED, Inputs
from migrate.engine.streaming.transposed_slabs import transposed_slabs
from migrate.errors import CheckpointError, MigrateError, RefusedError
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


def evaluate(task: Task, reader: Reader, target: AbstractTree, inputs: Inputs = UNCOMPARED) -> dict[KeyPath, Value]:
    """Reads a task's sources and runs its steps.

    Args:
      task: the task.
      reader: the source.
      target: the tree that is being written; it specifies the kind of each value.
      inputs: compares what is read with the digests that the source records (default: nothing is compared).

    Returns:
      The value of each target key path; tied targets share one array.

    Raises:
      RefusedError: a cast would change a value (`LossyCast`).
      CheckpointError: the function of a `call` fails (`InvalidTemplate`), or the source cannot be read.
      MigrateError: an array differs from the plan's inference, which is a bug (`InternalError`).
    """
    if not task.steps:
        value = inputs.whole(task.sources[0], reader.read(task.sources[0]))
        return {path: as_kind(value, target.leaves[path]) for path in task.targets}
    transposed = transposed_slabs(task, reader, inputs)
    if transposed is None:
        arrays = _carry_out(task, [as_array(inputs.whole(path, reader.read(path))) for path in task.sources])
    else:
        arrays = [transposed]
    values = {path: arrays[index] for path, index in zip(task.targets, task.outputs, strict=True)}
    _check(task, values)
    return {path: as_kind(value, target.leaves[path]) for path, value in values.items()}


def _carry_out(task: Task, arrays: list[Array]) -> list[Array]:
    for step in task.steps:
        results: list[Array] = []
        for op, group in step.calls:
            try:
                results += op.apply(*(_laid_out(op, arrays[index]) for index in group))
            except OpError as error:
                raise refusal(task, op, error) from None
            except CheckpointError as error:
                raise _located(task, error) from None
        arrays = results
    return arrays


def refusal(task: Task, op: Op, error: OpError, where: str = "") -> RefusedError:
    """Returns the error for a value that does not allow an op; `where` locates it in a larger array."""
    return RefusedError(
        LossyCast.at(
            f"`{op.name}` on `{format_path(task.sources[0])}`: {where}{error}",
            span=task.rule,
            paths=map(format_path, task.sources),
            help=f"{_without_cast(task) if op.only_casts else ''}{error.help or op.remedy}",
        )
    )


def _without_cast(task: Task) -> str:
    """Returns the advice for a target that may be narrow only because x64 is off."""
    old, new = task.in_avals[0], task.out_avals[0]
    if old is None or new is None or not dtypes.is_narrowed(old.dtype, new.dtype):
        return ""
    return f"if the target is {new.dtype} only because x64 is off, set `JAX_ENABLE_X64=1` and remove the cast; else "


def _located(task: Task, error: CheckpointError) -> CheckpointError:
    """Returns the error of a function that the rule calls, with the rule and the source leaves."""
    paths = tuple(map(format_path, task.sources))
    return CheckpointError(*(replace(one, span=task.rule, paths=paths) for one in error.diagnostics))


def _laid_out(op: Op, array: Array) -> Array:
    """The array in the memory layout in which the op is fast: elementwise ops read values in order."""
    return contiguous(array) if op.elementwise else array


def _check(task: Task, values: dict[KeyPath, Array]) -> None:
    """Refuses an array whose shape or dtype differs from the plan that the user saw."""
    for path, planned in zip(task.targets, task.out_avals, strict=True):
        (actual,) = avals(values[path])
        if actual != planned:
            message = f"`{format_path(path)}` has the shape and dtype {actual}, but the plan inferred {planned}"
            raise MigrateError(InternalError.at(message, span=task.rule))


def as_array(value: Value) -> Array:
    """A leaf's value as an array; numbers become 0-d arrays."""
    import numpy as np

    array: Array = np.asarray(value)
    return array


def as_kind(value: Value, leaf: AbstractLeaf) -> Value:
    """The value in the form of the target leaf: an array for arrays and numbers; strings and empty nodes unchanged."""
    if leaf.is_numeric:
        return as_array(value)
    return EMPTY[leaf.container] if leaf.kind == "empty" else value
