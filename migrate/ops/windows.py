"""What a part of an op's result needs of its inputs, so that an array larger than the memory is worked on in parts.

A window is a box of an array. `pull` goes backwards: from a window of the result to the windows of the inputs, and to
what makes the one of the others. It is pure and reads nothing, so that the whole way can be looked at beforehand.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from migrate.ops.base import Op, normalize_axis
from migrate.ops.cast import Cast
from migrate.ops.concat import Concat, Split
from migrate.ops.crop import Crop
from migrate.ops.flip import Flip
from migrate.ops.pad import Pad
from migrate.ops.rearrange import Rearrange
from migrate.ops.reshape import Reshape
from migrate.ops.reshape_windows import regroup
from migrate.ops.scale import Scale
from migrate.ops.slice import Slice
from migrate.ops.squeeze import ExpandDims, Squeeze
from migrate.ops.stack import Stack, Unstack
from migrate.ops.tile import Tile
from migrate.ops.transpose import Transpose
from migrate.ops.wrap_key_data import KeyData, WrapKeyData
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Range = tuple[int, int]
Window = tuple[Range, ...]
"""For each axis the first index, and the one after the last."""


@dataclass(frozen=True)
class Pull:
    """What makes a window of a result.

    Attributes:
      needs: input numbers with the window of each that is needed.
      make: makes the result's window from the arrays of `needs`, in their order.
    """

    needs: tuple[tuple[int, Window], ...]
    make: Callable[[Sequence[Array]], Array]


def whole(shape: Sequence[int]) -> Window:
    """The window that is everything."""
    return tuple((0, size) for size in shape)


def extent(window: Window) -> tuple[int, ...]:
    """The shape of a window."""
    return tuple(stop - start for start, stop in window)


def windows(shape: Sequence[int], tile: Sequence[int]) -> Iterator[Window]:
    """Windows that cut an array into tiles, the last of an axis perhaps smaller."""
    steps = [range(0, size, step) for size, step in zip(shape, tile, strict=True)]
    for corner in itertools.product(*steps):
        yield tuple((a, min(a + step, size)) for a, step, size in zip(corner, tile, shape, strict=True))


def cut(array: Array, window: Window) -> Array:
    """That part of an array, as a view."""
    box: tuple[Any, ...] = tuple(slice(start, stop) for start, stop in window)
    return array[(*box, ...)]


def can_pull(op: Op) -> bool:
    """Whether windows of the op's results can be made from windows of its inputs."""
    return isinstance(op, Rearrange) or pull.dispatch(type(op)) is not pull.dispatch(Op)


def simple_ops(op: Op, inputs: Sequence[AbstractArray]) -> tuple[Op, ...]:
    """The ops that it is made of, one after the other; for most ops itself."""
    if not isinstance(op, Rearrange):
        return (op,)
    apart, order, shape = op.parts(inputs[0])
    return Reshape(apart), Transpose(order), Reshape(shape)


@singledispatch
def pull(op: Op, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    """What makes a window of one result of an op.

    Args:
      op: bound, and one of `simple_ops`.
      inputs: what it is applied to.
      output: which of its results.
      window: of that result; not empty.

    Raises:
      TypeError: the op needs its inputs whole (`call`), see `can_pull`.
    """
    del inputs, output, window
    raise TypeError(f"`{op.name}` needs whole arrays")


def _same(op: Op, window: Window) -> Pull:
    """An op that makes the result's window when it is applied to the input's."""
    return Pull(((0, window),), lambda parts: op.apply(*parts)[0])


@pull.register(Cast)
@pull.register(Scale)
def _elementwise(op: Op, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    del inputs, output
    return _same(op, window)


@pull.register
def _transpose(op: Transpose, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    del output
    ndim = len(inputs[0].shape)
    perm = tuple(reversed(range(ndim))) if op.perm is None else op.perm
    order = [normalize_axis(axis, ndim) for axis in perm]
    return _same(op, tuple(window[order.index(axis)] for axis in range(ndim)))


@pull.register
def _flip(op: Flip, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    del output
    axis = normalize_axis(op.axis, len(window))
    size, (start, stop) = inputs[0].shape[axis], window[axis]
    return _same(op, _replaced(window, axis, (size - stop, size - start)))


@pull.register
def _slice(op: Slice, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    del output
    axis = normalize_axis(op.axis, len(window))
    begin, _, step = slice(op.start, op.stop, op.step).indices(inputs[0].shape[axis])
    start, stop = window[axis]
    needed = (begin + start * step, begin + (stop - 1) * step + 1)
    return _same(Slice(op.axis, step=step), _replaced(window, axis, needed))


@pull.register
def _crop(op: Crop, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    del inputs, output
    return _given(tuple((first + a, first + b) for (first, _), (a, b) in zip(op.ranges, window, strict=True)))


def _given(window: Window) -> Pull:
    """The window of the input is the window of the result."""
    return Pull(((0, window),), lambda parts: parts[0])


@pull.register
def _pad(op: Pad, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    del output
    inside, widths = [], []
    for size, (before, _), (start, stop) in zip(inputs[0].shape, op.widths, window, strict=True):
        low, high = (min(max(bound - before, 0), size) for bound in (start, stop))
        inside.append((low, high))
        left = min(max(before - start, 0), stop - start)
        widths.append((left, stop - start - left - (high - low)))
    return _same(Pad(tuple(widths), op.value), tuple(inside))


@pull.register
def _tile(op: Tile, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    """A window that lies in one copy is a window of the array; of one that does not, whole axes are needed."""
    del op, output
    import numpy as np

    needed, rows = [], []
    for size, (start, stop) in zip(inputs[0].shape, window, strict=True):
        first = start - start % size
        low, high = (start - first, stop - first) if stop - first <= size else (0, size)
        needed.append((low, high))
        rows.append([index % size - low for index in range(start, stop)])
    return Pull(((0, tuple(needed)),), lambda parts: parts[0][np.ix_(*rows)] if rows else parts[0])


@pull.register
def _concat(op: Concat, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    del output
    axis = normalize_axis(op.axis, len(window))
    ends = list(itertools.accumulate(array.shape[axis] for array in inputs))
    needs = []
    for number, (array, end) in enumerate(zip(inputs, ends, strict=True)):
        begin = end - array.shape[axis]
        start, stop = max(window[axis][0], begin), min(window[axis][1], end)
        if start < stop:
            needs.append((number, _replaced(window, axis, (start - begin, stop - begin))))
    return Pull(tuple(needs), lambda parts: op.apply(*parts)[0] if len(parts) > 1 else parts[0])


@pull.register
def _split(op: Split, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    axis = normalize_axis(op.axis, len(inputs[0].shape))
    before = sum((op.sizes or ())[:output])
    start, stop = window[axis]
    return _given(_replaced(window, axis, (before + start, before + stop)))


@pull.register
def _stack(op: Stack, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    del inputs, output
    axis = normalize_axis(op.axis, len(window))
    rest = (*window[:axis], *window[axis + 1 :])
    return Pull(tuple((number, rest) for number in range(*window[axis])), lambda parts: op.apply(*parts)[0])


@pull.register
def _unstack(op: Unstack, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    axis = normalize_axis(op.axis, len(inputs[0].shape))
    return _same(op, (*window[:axis], (output, output + 1), *window[axis:]))


@pull.register
def _squeeze(op: Squeeze, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    del output
    axis = normalize_axis(op.axis, len(inputs[0].shape))
    return _same(op, (*window[:axis], (0, 1), *window[axis:]))


@pull.register
def _expand_dims(op: ExpandDims, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    del inputs, output
    axis = normalize_axis(op.axis, len(window))
    return _same(op, (*window[:axis], *window[axis + 1 :]))


@pull.register
def _wrap_key_data(op: WrapKeyData, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    del output
    return _same(op, (*window, (0, inputs[0].shape[-1])))


@pull.register
def _key_data(op: KeyData, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    del inputs, output
    return Pull(((0, window[:-1]),), lambda parts: cut(op.apply(*parts)[0], (*whole(parts[0].shape), window[-1])))


@pull.register
def _reshape(op: Reshape, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
    del output
    (result,) = op.infer(*inputs)
    needs, make = regroup(inputs[0].shape, result.shape, window)
    return Pull(tuple((0, part) for part in needs), make)


def _replaced(window: Window, axis: int, part: Range) -> Window:
    return (*window[:axis], part, *window[axis + 1 :])
