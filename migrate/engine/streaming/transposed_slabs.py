"""Transposes an array of one chunk while the chunk is decoded: slabs are moved before they leave the processor's cache.

The array of the source is never in memory as a whole, which saves a write, a read and the page faults of its bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from migrate import dtypes
from migrate.errors import CheckpointError
from migrate.formats.reader import Reader
from migrate.formats.zarr.single_chunks import SLAB_BYTES, SingleChunk, single_chunk
from migrate.ops.base import NotInvertible, Op
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from migrate.planning.model import Task

    Array = np.ndarray[Any, Any]


def transposed_chunk(task: Task, reader: Reader) -> Array | None:
    """Returns the result of a task that only moves the elements of an array of one chunk; None for others.

    A view of the result has to put each element where the source has it, as a transpose does.

    None as well where the chunk cannot be decoded here: reading the array whole names the cause.

    Raises:
      CheckpointError: the array claims more than the files can hold.
    """
    ops, aval = _permutations(task), task.in_avals[0]
    if ops is None or aval is None or aval.nbytes < SLAB_BYTES or _row_bytes(aval) > SLAB_BYTES:
        return None
    chunk = _chunk_of(task, reader, aval)
    return None if chunk is None else _decoded(chunk, ops, aval)


def _row_bytes(aval: AbstractArray) -> int:
    return math.prod(aval.shape[1:]) * dtypes.item_bytes(aval.dtype)


def _permutations(task: Task) -> list[Op] | None:
    """Returns the ops of a task of one array that only move its elements; None for others."""
    calls = [call for step in task.steps for call in step.calls]
    ops = [op for op, _ in calls if op.only_permutes]
    is_chain = len(task.sources) == 1 and len(calls) == len(ops) == len(task.steps)
    return ops if ops and is_chain else None


def _chunk_of(task: Task, reader: Reader, aval: AbstractArray) -> SingleChunk | None:
    """Returns the chunk of the task's source; None where it is not decoded here."""
    location = reader.location(task.sources[0])
    chunk = single_chunk(location) if location is not None and location.key_impl is None else None
    if chunk is None or (chunk.shape, dtypes.from_numpy(chunk.dtype)) != (aval.shape, aval.dtype):
        return None
    return chunk


def _decoded(chunk: SingleChunk, ops: Sequence[Op], aval: AbstractArray) -> Array | None:
    avals = [aval]
    for op in ops:
        avals += op.infer(avals[-1])
    if avals[-1].dtype != aval.dtype:  # a key and its words are the same bytes
        return None
    result = np.empty(avals[-1].shape, chunk.dtype)
    as_source = _as_source(result, ops, avals)
    if as_source is None:
        return None
    start = 0
    try:
        for slab in chunk.slabs(math.prod(aval.shape[1:])):
            rows = slab.reshape(-1, *aval.shape[1:])
            as_source[start : start + len(rows)] = rows
            start += len(rows)
    except CheckpointError:
        return None
    return result


def _as_source(result: Array, ops: Sequence[Op], avals: Sequence[AbstractArray]) -> Array | None:
    """Returns the result as a view in which each element is where the source has it; None if there is no such view."""
    view = result
    for op, before in zip(reversed(ops), reversed(avals[:-1]), strict=True):
        inverse = op.inverse(before)
        if isinstance(inverse, NotInvertible):
            return None
        (view,) = inverse.apply(view)
    return view if np.shares_memory(view, result) and view.flags.writeable else None
