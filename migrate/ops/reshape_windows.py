"""Makes a window of a reshaped array from windows of the array before.

The axes of both shapes form groups of equal size: in (12, 64, 768) → (768, 768) the first two axes become the first,
and the last is unchanged. Groups do not mix, so each is handled alone. Within a group elements keep their order, so
that a window of one side is inside a run of elements, and a run is a few boxes of the other side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrate.ops.windows import Window, extent

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Group:
    """Axes of the old shape, and the axes of the new shape with the same elements in the same order.

    Attributes:
      boxes: windows of the old axes with exactly the elements from `first` up to, not including, `last`.
      around: the smallest window of the new axes that is a run of elements and contains `window`.
      begin: the first element of that run.
      window: the requested window of the new axes.
    """

    boxes: tuple[Window, ...]
    first: int
    last: int
    around: Window
    begin: int
    window: Window

    def shaped(self, array: Array, axis: int) -> Array:
        """The array with `axis`, along which the elements are in a row, replaced by the window of the new axes."""
        import numpy as np

        before, after = array.shape[:axis], array.shape[axis + 1 :]
        lead = (slice(None),) * axis
        around = tuple(high - low for low, high in self.around)
        if math.prod(around) != self.last - self.first:
            row = np.empty((*before, math.prod(around), *after), array.dtype)
            # Elements that stay unset are outside the window.
            row[(*lead, slice(self.first - self.begin, self.last - self.begin))] = array
            array = row
        pairs = zip(self.window, self.around, strict=True)
        inner = tuple(slice(low - start, high - start) for (low, high), (start, _) in pairs)
        return array.reshape((*before, *around, *after))[(*lead, *inner)]


def regroup(
    old: Sequence[int], new: Sequence[int], window: Window
) -> tuple[tuple[Window, ...], Callable[[Sequence[Array]], Array]]:
    """Finds the windows of an array of shape `old` that a window of the same array in shape `new` needs.

    Args:
      old: a shape.
      new: another of the same number of elements, which is not 0.
      window: of the new shape; not empty.

    Returns:
      Windows of the old shape, and the function that makes the requested window from them.
    """
    groups: list[_Group] = []
    for old_axes, new_axes in _groups(old, new):
        groups.append(_group(old_axes, new_axes, window[: len(new_axes)]))
        window = window[len(new_axes) :]
    needs = tuple(sum(boxes, ()) for boxes in itertools.product(*(group.boxes for group in groups)))

    def make(parts: Sequence[Array]) -> Array:
        array = _joined(groups, parts)
        axis = 0
        for group in groups:
            array = group.shaped(array, axis)
            axis += len(group.window)
        return array

    return needs, make


def _joined(groups: Sequence[_Group], parts: Sequence[Array]) -> Array:
    """One array of as many axes as there are groups, the elements of each in a row."""
    import numpy as np

    sizes = itertools.product(*([math.prod(extent(box)) for box in group.boxes] for group in groups))
    flat = [part.reshape(shape) for part, shape in zip(parts, sizes, strict=True)]
    for axis in reversed(range(len(groups))):
        count = len(groups[axis].boxes)
        if count > 1:
            flat = [np.concatenate(flat[i : i + count], axis) for i in range(0, len(flat), count)]
    (array,) = flat
    return array


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The smallest runs of axes of both shapes with as many elements; axes of size 1 at the end join the last."""
    groups: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        start_i, start_j = i, j
        left = right = 1
        while True:
            if left <= right and i < len(old) and (left < right or i == start_i):
                left, i = left * old[i], i + 1
            elif j < len(new) and (right < left or j == start_j):
                right, j = right * new[j], j + 1
            else:
                break
        groups.append((tuple(old[start_i:i]), tuple(new[start_j:j])))
    return groups


def _group(old: tuple[int, ...], new: tuple[int, ...], window: Window) -> _Group:
    low = _position(new, [start for start, _ in window])
    high = _position(new, [stop - 1 for _, stop in window])
    around = _run(new, low, high)
    begin = _position(new, [start for start, _ in around])
    return _Group(tuple(_boxes(old, low, high)), low, high + 1, around, begin, window)


def _run(shape: tuple[int, ...], low: int, high: int) -> Window:
    """The smallest window that contains the elements from `low` to `high` and is a run of elements."""
    first, last = _index(shape, low), _index(shape, high)
    for axis, (a, b) in enumerate(zip(first, last, strict=True)):
        if a != b:
            fixed = tuple((i, i + 1) for i in first[:axis])
            return (*fixed, (a, b + 1), *((0, size) for size in shape[axis + 1 :]))
    return tuple((i, i + 1) for i in first)


def _boxes(shape: tuple[int, ...], low: int, high: int) -> list[Window]:
    """Windows with exactly the elements from `low` to `high`, in order."""
    if not shape:
        return [()]
    below = math.prod(shape[1:])
    (a, start), (b, stop) = divmod(low, below), divmod(high, below)
    if a == b:
        return _at(a, _boxes(shape[1:], start, stop))
    head = _at(a, _boxes(shape[1:], start, below - 1)) if start else []
    tail = _at(b, _boxes(shape[1:], 0, stop)) if stop < below - 1 else []
    rows = (a + 1 if head else a, b if tail else b + 1)
    full = [(rows, *((0, size) for size in shape[1:]))] if rows[0] < rows[1] else []
    return [*head, *full, *tail]


def _at(index: int, boxes: list[Window]) -> list[Window]:
    return [((index, index + 1), *box) for box in boxes]


def _position(shape: tuple[int, ...], index: Sequence[int]) -> int:
    position = 0
    for size, i in zip(shape, index, strict=True):
        position = position * size + i
    return position


def _index(shape: tuple[int, ...], position: int) -> tuple[int, ...]:
    index: list[int] = []
    for axis in range(len(shape)):
        below = math.prod(shape[axis + 1 :])
        index.append(position // below)
        position %= below
    return tuple(index)
