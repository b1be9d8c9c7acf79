"""Transposes an array while it is read or decoded: slabs are moved before they leave the processor's cache.

The array of the source is never in memory as a whole, which saves a write, a read and the page faults of its bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from migrate import dtypes
from migrate.engine.streaming.flat_bytes import flat_slabs
from migrate.engine.streaming.strided_copy import copy_into
from migrate.errors import CheckpointError
from migrate.formats.reader import Reader
from migrate.formats.zarr.single_chunks import single_chunk
from migrate.ops.base import NotInvertible, Op
from migrate.places.bucket_path import BucketPath
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from migrate.planning.model import Task

    Array = np.ndarray[Any, Any]

LEAST_BYTES = 1 << 20
"""Smaller arrays are transposed whole."""

SLAB_BYTES = 4 << 20
"""The most bytes of a slab: few enough for the processor's cache, and many enough for long runs in the result."""


def transposed_slabs(task: Task, reader: Reader) -> Array | None:
    """Returns the result of a task that only moves the elements of one array; None for others.

    A view of the result has to put each element where the source has it, as a transpose does. The source is an array of
    one chunk, or is stored unencoded in local files.

    None as well where the array cannot be read here: reading it whole names the cause.

    Raises:
      CheckpointError: the array claims more than the files can hold.
    """
    ops, aval = _permutations(task), task.in_avals[0]
    if ops is None or aval is None or aval.nbytes < LEAST_BYTES or _row_bytes(aval) > SLAB_BYTES:
        return None
    view = _result_as_source(ops, aval)
    slabs = None if view is None else _slabs(task, reader, aval)
    if view is None or slabs is None:
        return None
    result, as_source = view
    return result if _is_filled(as_source, slabs) else None


def _row_bytes(aval: AbstractArray) -> int:
    return math.prod(aval.shape[1:]) * dtypes.item_bytes(aval.dtype)


def _permutations(task: Task) -> list[Op] | None:
    """Returns the ops of a task of one array that only move its elements; None for others."""
    calls = [call for step in task.steps for call in step.calls]
    ops = [op for op, _ in calls if op.only_permutes]
    is_chain = len(task.sources) == 1 and len(calls) == len(ops) == len(task.steps)
    return ops if ops and is_chain else None


def _slabs(task: Task, reader: Reader, aval: AbstractArray) -> Iterable[Array] | None:
    """Returns the elements of the task's source in C order, in slabs of whole rows; None if they are not read here."""
    (path,), row = task.sources, math.prod(aval.shape[1:])
    if dtypes.key_impl(aval.dtype) is not None:
        return None
    location = reader.location(path)
    if location is not None:
        chunk = single_chunk(location)
        if chunk is None or (chunk.shape, dtypes.from_numpy(chunk.dtype)) != (aval.shape, aval.dtype):
            return None
        return chunk.slabs(row, SLAB_BYTES)
    extents = reader.extents(path)
    if not extents or any(isinstance(extent.file, BucketPath) for extent in extents):
        return None
    dtype = dtypes.to_numpy(aval.dtype)
    return flat_slabs(extents, dtype, aval.size, SLAB_BYTES // dtype.itemsize // row * row)


def _is_filled(as_source: Array, slabs: Iterable[Array]) -> bool:
    """Moves all slabs to their places; returns whether they could be read."""
    start = 0
    try:
        for slab in slabs:
            rows = slab.reshape(-1, *as_source.shape[1:])
            copy_into(as_source[start : start + len(rows)], rows)
            start += len(rows)
    except CheckpointError:
        return False
    return True


def _result_as_source(ops: Sequence[Op], aval: AbstractArray) -> tuple[Array, Array] | None:
    """Returns a new array for the result, and a view of it in which each element is where the source has it.

    None if there is no such view.
    """
    avals = [aval]
    for op in ops:
        avals += op.infer(avals[-1])
    if avals[-1].dtype != aval.dtype:  # a key and its words are the same bytes
        return None
    result = view = np.empty(avals[-1].shape, dtypes.to_numpy(aval.dtype))
    for op, before in zip(reversed(ops), reversed(avals[:-1]), strict=True):
        inverse = op.inverse(before)
        if isinstance(inverse, NotInvertible):
            return None
        (view,) = inverse.apply(view)
    return (result, view) if np.shares_memory(view, result) and view.flags.writeable else None
