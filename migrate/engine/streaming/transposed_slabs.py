"""Moves elements to their places while arrays are read or decoded: in slabs that stay in the processor's cache.

No array of the source is in memory as a whole, which saves a write, a read and the page faults of its bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from migrate import dtypes
from migrate.engine.streaming.flat_bytes import flat_slabs
from migrate.engine.streaming.inputs import UNCOMPARED, Inputs
from migrate.engine.streaming.strided_copy import copy_into
from migrate.errors import CheckpointError
from migrate.formats.reader import Reader
from migrate.formats.zarr.single_chunks import single_chunk
from migrate.ops.base import NotInvertible
from migrate.places.bucket_path import BucketPath
from migrate.tree import AbstractArray, KeyPath

if TYPE_CHECKING:
    from migrate.planning.model import Step, Task

    Array = np.ndarray[Any, Any]

LEAST_BYTES = 1 << 20
"""Smaller arrays are read whole."""

SLAB_BYTES = 4 << 20
"""The most bytes of a slab: few enough for the processor's cache, and many enough for long runs in the result."""


def transposed_slabs(task: Task, reader: Reader, inputs: Inputs = UNCOMPARED) -> Array | None:
    """Returns the only result of a task that moves elements, such as transposes that are stacked; None for others.

    The result has to have a view for each source in which each element is where the source has it. Sources that are one
    chunk, or are stored unencoded in local files, are moved in slabs; others are read whole, one after the other.

    None as well where a slab cannot be read here: reading the array whole names the cause.

    Raises:
      CheckpointError: an array cannot be read, or claims more than the files can hold.
    """
    avals = [aval for aval in task.in_avals if aval is not None]
    parts = _result_and_views(task, avals) if len(avals) == len(task.sources) and _moves_elements(task) else None
    if parts is None:
        return None
    result, views = parts
    sources = [(view, path, _slabs(reader, path, view)) for view, path in zip(views, task.sources, strict=True)]
    if len(sources) == 1 and sources[0][2] is None:
        return None
    for view, path, slabs in sources:
        if slabs is None:
            copy_into(view, np.asarray(inputs.whole(path, reader.read(path))))
        elif not _is_filled(view, inputs.parts(path, slabs)):
            return None
    return result


def _moves_elements(task: Task) -> bool:
    """Whether every element of the sources is one element of the result, and the task is not only reshapes."""
    ops = [op for step in task.steps for op in step.ops]
    moves = all(op.only_permutes or (op.structural and op.role == "reduce") for op in ops)
    return moves and any(op.role == "reduce" or not op.only_reshapes for op in ops)


def _result_and_views(task: Task, avals: list[AbstractArray]) -> tuple[Array, Sequence[Array]] | None:
    """Returns a new array for the result, and for each source a view of it; None if there are no such views."""
    stages = [avals]
    for step in task.steps:
        stages.append([out for op, group in step.calls for out in op.infer(*(stages[-1][i] for i in group))])
    (first, *others), last = stages[0], stages[-1]
    # A key and its words are the same bytes, but another dtype.
    if len(last) > 1 or any(aval.dtype != first.dtype for aval in (*others, *last)) or last[0].nbytes < LEAST_BYTES:
        return None
    result = np.empty(last[0].shape, dtypes.to_numpy(first.dtype))
    views: Sequence[Array] | None = [result]
    for step, before in zip(reversed(task.steps), reversed(stages[:-1]), strict=True):
        views = _undone(step, before, views) if views is not None else None
    if views is None or not all(np.shares_memory(view, result) and view.flags.writeable for view in views):
        return None
    return result, views


def _undone(step: Step, avals: Sequence[AbstractArray], results: Sequence[Array]) -> Sequence[Array] | None:
    """Returns the inputs of a step as views of its results; None unless each input is a part of one result."""
    inputs: dict[int, Array] = {}
    for (op, group), result in zip(step.calls, results, strict=True):
        inverse = op.inverse(*(avals[i] for i in group))
        if isinstance(inverse, NotInvertible) or not inputs.keys().isdisjoint(group):
            return None
        inputs.update(zip(group, inverse.apply(result), strict=True))
    return [inputs[i] for i in range(len(avals))] if len(inputs) == len(avals) else None


def _slabs(reader: Reader, path: KeyPath, view: Array) -> Iterable[Array] | None:
    """Returns the elements of an array in C order, in slabs of whole rows; None if it is read whole."""
    row = math.prod(view.shape[1:])
    dtype = view.dtype
    if view.nbytes < LEAST_BYTES or row * dtype.itemsize > SLAB_BYTES or dtype.names is not None:
        return None
    location = reader.location(path)
    if location is not None:
        chunk = single_chunk(location) if location.key_impl is None else None
        return (
            None if chunk is None or (chunk.shape, chunk.dtype) != (view.shape, dtype) else chunk.slabs(row, SLAB_BYTES)
        )
    extents = reader.extents(path)
    if not extents or any(isinstance(extent.file, BucketPath) for extent in extents):
        return None
    return flat_slabs(extents, dtype, view.size, SLAB_BYTES // dtype.itemsize // row * row)


def _is_filled(view: Array, slabs: Iterable[Array]) -> bool:
    """Moves all slabs to their places; returns whether they could be read."""
    start = 0
    try:
        for slab in slabs:
            rows = slab.reshape(-1, *view.shape[1:])
            copy_into(view[start : start + len(rows)], rows)
            start += len(rows)
    except CheckpointError:
        return False
    return True
