"""Tasks whose ops only move elements, as views of the source's arrays: TensorStore reads a window in one copy.

The ops are applied to views as they are to arrays of NumPy, so that each op has one implementation: a view answers the
functions of NumPy with which ops move elements, and refuses all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import tensorstore as ts

from migrate import dtypes
from migrate.formats.reader import Reader
from migrate.formats.zarr.store_spec import location_spec
from migrate.ops.base import normalize_axis
from migrate.planning.model import Task
from migrate.tree import KeyPath


class ArrayView:
    """An array of TensorStore that takes part in NumPy's functions for moving elements."""

    def __init__(self, store: Any) -> None:
        self.store = store

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self.store.shape)

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return int(self.store.rank)

    def transpose(self, order: Sequence[int] | None = None) -> ArrayView:
        """Returns it with the axes in another order."""
        axes = tuple(reversed(range(self.ndim))) if order is None else order
        return ArrayView(self.store[ts.d[tuple(normalize_axis(a, self.ndim) for a in axes)].transpose[:]])

    def squeeze(self, axis: int | tuple[int, ...]) -> ArrayView:
        """Returns it without axes of size 1."""
        bare = {normalize_axis(one, self.ndim) for one in (axis if isinstance(axis, tuple) else (axis,))}
        return self[tuple(0 if number in bare else slice(None) for number in range(self.ndim))]

    def __getitem__(self, index: Any) -> ArrayView:
        parts = tuple(index) if isinstance(index, tuple) else (index,)
        found = self.store
        for axis, part in _by_axis(parts, self.ndim):  # the last axis first, so that earlier numbers stay
            found = found[ts.d[axis][_absolute(part, found.shape[axis])]]
        return ArrayView(_from_zero(found))

    def __array_function__(
        self, function: Callable[..., Any], types: object, args: Sequence[Any], options: Mapping[str, Any]
    ) -> Any:
        del types
        answer = _FUNCTIONS.get(function)
        return NotImplemented if answer is None else answer(*args, **options)

    def __array__(self, *args: object, **options: object) -> NoReturn:
        raise TypeError("a view has no values")


def _by_axis(parts: Sequence[Any], ndim: int) -> list[tuple[int, Any]]:
    """Returns the index of each axis that is cut, the last axis first."""
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts = (*parts[:at], *(slice(None),) * (ndim - len(parts) + 1), *parts[at + 1 :])
    return [(axis, part) for axis, part in reversed(list(enumerate(parts))) if part != slice(None)]


def _absolute(part: Any, size: int) -> Any:
    """Returns an index as TensorStore takes it: without negative numbers, which it counts from the origin."""
    if not isinstance(part, slice):
        return normalize_axis(part, size)
    start, stop, step = part.indices(size)
    if step < 0:
        raise TypeError("a view is cut with positive steps only")
    return slice(start, max(stop, start), step)


def _from_zero(store: Any) -> Any:
    """Returns an array with its origin at zero; parts keep theirs, and a stack needs equal ones."""
    return store[ts.d[:].translate_to[0]] if store.rank else store


def _stack(arrays: Sequence[ArrayView], axis: int = 0) -> ArrayView:
    return ArrayView(ts.stack([array.store for array in arrays], axis=normalize_axis(axis, arrays[0].ndim + 1)))


def _concatenate(arrays: Sequence[ArrayView], axis: int = 0) -> ArrayView:
    return ArrayView(ts.concat([array.store for array in arrays], axis=normalize_axis(axis, arrays[0].ndim)))


def _expand_dims(array: ArrayView, axis: int) -> ArrayView:
    at = normalize_axis(axis, array.ndim + 1)
    return ArrayView(_from_zero(array.store[(slice(None),) * at + (ts.newaxis,)]))


def _flip(array: ArrayView, axis: int) -> ArrayView:
    return ArrayView(_from_zero(array.store[ts.d[normalize_axis(axis, array.ndim)][::-1]]))


_FUNCTIONS: Mapping[Any, Callable[..., ArrayView]] = {
    np.stack: _stack,
    np.concatenate: _concatenate,
    np.expand_dims: _expand_dims,
    np.flip: _flip,
}


def open_views(task: Task, reader: Reader, context: ts.Context) -> Mapping[KeyPath, Any] | None:
    """Returns the targets of a task as arrays of TensorStore; None where views cannot do what its ops do.

    Args:
      task: a task.
      reader: the source.
      context: from `loading_context`.

    Raises:
      ValueError: TensorStore cannot open a source.
    """
    locations = [reader.location(path) for path in task.sources]
    if any(place is None or place.key_impl for place in locations) or not _moves_only(task):
        return None
    specs = [location_spec(place) for place in locations if place is not None]
    opening = [ts.open(spec, open=True, read=True, context=context) for spec in specs]
    arrays = [ArrayView(store.result()) for store in opening]
    try:
        for step in task.steps:
            arrays = [out for op, group in step.calls for out in op.apply(*(arrays[i] for i in group))]  # type: ignore[arg-type,misc]
    except (TypeError, AttributeError):
        return None
    outputs = task.outputs if task.steps else (0,) * len(task.targets)
    found = {path: arrays[index].store for path, index in zip(task.targets, outputs, strict=True)}
    planned = [(aval.shape, dtypes.to_numpy(aval.dtype)) for aval in task.out_avals if aval is not None]
    return found if [(tuple(one.shape), one.dtype.numpy_dtype) for one in found.values()] == planned else None


def _moves_only(task: Task) -> bool:
    """Whether the ops of a task only move elements; `call` and others could be misled by a view."""
    return all(op.has_windows and op.structural for step in task.steps for op in step.ops)
