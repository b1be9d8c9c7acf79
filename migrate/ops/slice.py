"""`slice`: some indices of one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import NotInvertible, Op, OpError, Param, normalize_axis
from migrate.ops.chunk_grid import ChunkGrid
from migrate.ops.open_shapes import OpenShape, opened
from migrate.ops.windows import Pull, Window, with_range
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@final
@dataclass(frozen=True)
class Slice(Op):
    """Keeps every `step`-th index of `axis` from `start` up to, not including, `stop`.

    Negative bounds count from the end, as in Python; bounds beyond the axis are refused, not clipped. It is structural:
    the slice of a moment is exactly the moment of the slice of the param. It is never exact: the rest is lost.
    """

    name: ClassVar[str] = "slice"
    params: ClassVar[tuple[Param, ...]] = (
        Param("axis", "int", "the axis that is sliced"),
        Param("start", "int", "the first index that is kept; default: 0", False),
        Param("stop", "int", "the index before which it ends; default: the end of the axis", False),
        Param("step", "int", "the distance from one kept index to the next; default: 1", False),
    )
    recuts: ClassVar[bool] = True

    axis: int
    start: int | None = None
    stop: int | None = None
    step: int = 1

    def __post_init__(self) -> None:
        if self.step < 1:
            raise OpError(f"step {self.step} must be at least 1; `flip` reverses an axis")

    @property
    def exact(self) -> bool:
        return False

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        return opened(shape, self.axis)

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        axis = normalize_axis(self.axis, len(array.shape))
        size = array.shape[axis]
        for bound in (self.start, self.stop):
            if bound is not None and not -size <= bound <= size:
                raise OpError(f"{bound} is beyond axis {axis} of {array}, which has size {size}")
        start, stop, _ = self._slice.indices(size)
        if start > stop:
            raise OpError(
                f"start {start} is after stop {stop} on axis {axis} of {array}, so that nothing would be kept"
            )
        kept = len(range(size)[self._slice])
        return (AbstractArray((*array.shape[:axis], kept, *array.shape[axis + 1 :]), array.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        (array,) = arrays
        lead = (slice(None),) * normalize_axis(self.axis, array.ndim)
        return (array[(*lead, self._slice)],)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del output
        axis = normalize_axis(self.axis, len(window))
        begin, _, step = self._slice.indices(inputs[0].shape[axis])
        start, stop = window[axis]
        needed = with_range(window, axis, (begin + start * step, begin + (stop - 1) * step + 1))
        return Pull(((0, needed),), lambda parts: Slice(self.axis, step=step).apply(*parts)[0])

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        (array,) = inputs
        axis = normalize_axis(self.axis, len(array.shape))
        start, stop, step = self._slice.indices(array.shape[axis])
        part = array.cut(axis, start, stop) if step == 1 else None
        return None if part is None else (part,)

    def inverse(self, *inputs: AbstractArray) -> Op | NotInvertible:
        if self.infer(*inputs) == inputs:
            return self
        return NotInvertible("the elements that `slice` left behind are not in the result")

    def restores(self, *inputs: AbstractArray) -> bool:
        return self.infer(*inputs) == inputs

    @property
    def _slice(self) -> slice:
        return slice(self.start, self.stop, self.step)
