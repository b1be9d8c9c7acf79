"""Windows, which are boxes of an array, and how a window of an op's result is made from windows of its inputs.

`Op.window` works backward: it takes a window of a result and returns a `Pull`. A pull reads nothing, so that the engine
can inspect every window on the way to the sources before it reads the first one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Range = tuple[int, int]
Window = tuple[Range, ...]
"""For each axis the first index, and the one after the last."""


@dataclass(frozen=True)
class Pull:
    """How a window of a result is made.

    Attributes:
      needs: input numbers, each with a window of that input; none of these windows is empty.
      make: makes the result's window from the arrays of `needs`, in their order.
    """

    needs: tuple[tuple[int, Window], ...]
    make: Callable[[Sequence[Array]], Array]


def whole(shape: Sequence[int]) -> Window:
    """The window that covers an array."""
    return tuple((0, size) for size in shape)


def extent(window: Sequence[Range]) -> tuple[int, ...]:
    """The shape of a window."""
    return tuple(stop - start for start, stop in window)


def windows(shape: Sequence[int], tile: Sequence[int]) -> Iterator[Window]:
    """Windows that divide an array into tiles, in C order; the last tile of an axis may be smaller."""
    steps = [range(0, size, step) for size, step in zip(shape, tile, strict=True)]
    for corner in itertools.product(*steps):
        yield tuple((a, min(a + step, size)) for a, step, size in zip(corner, tile, shape, strict=True))


def cut(array: Array, window: Window) -> Array:
    """A window of an array, as a view."""
    box: tuple[Any, ...] = tuple(slice(start, stop) for start, stop in window)
    # The ellipsis keeps a 0-d array an array.
    return array[(*box, ...)]


def with_range(window: Window, axis: int, part: Range) -> Window:
    """The window with another range along `axis`."""
    return (*window[:axis], part, *window[axis + 1 :])


def with_axis(window: Window, axis: int, part: Range) -> Window:
    """The window with a new axis before `axis`."""
    return (*window[:axis], part, *window[axis:])


def without_axis(window: Window, axis: int) -> Window:
    """The window without `axis`."""
    return (*window[:axis], *window[axis + 1 :])


def as_stored(window: Window) -> Pull:
    """A pull whose result is this window of the only input, unchanged."""
    return Pull(((0, window),), lambda parts: parts[0])


def without_inputs(make: Callable[[], Array]) -> Pull:
    """A pull that needs no input."""
    return Pull((), lambda _: make())


def empty(window: Sequence[Range], dtype: str) -> Pull:
    """The pull of an empty window."""

    def make() -> Array:
        import numpy as np

        from migrate import dtypes

        return np.empty(extent(window), dtypes.to_numpy(dtype))

    return without_inputs(make)


def chained(last: Pull, before: Sequence[Pull]) -> Pull:
    """A pull through two ops.

    Args:
      last: the pull of the second op.
      before: for each window that `last` needs, the pull of the first op.
    """

    def make(parts: Sequence[Array]) -> Array:
        rest = iter(parts)
        return last.make([pull.make(list(itertools.islice(rest, len(pull.needs)))) for pull in before])

    return Pull(tuple(need for pull in before for need in pull.needs), make)
