"""`squeeze` removes an axis of size 1; `expand_dims` adds one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import Op, OpError, Param, normalize_axis
from migrate.ops.chunk_grid import ChunkGrid
from migrate.ops.open_shapes import OpenShape, inserted, without
from migrate.ops.reshape import one_reshape
from migrate.ops.windows import Pull, Window, with_axis, without_axis
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@final
@dataclass(frozen=True)
class Squeeze(Op):
    """Removes `axis`, whose size must be 1."""

    name: ClassVar[str] = "squeeze"
    params: ClassVar[tuple[Param, ...]] = (Param("axis", "int", "the axis of size 1 that is removed"),)
    shorthand: ClassVar[str | None] = "axis"
    only_reshapes: ClassVar[bool] = True

    axis: int

    def keeps_axes(self, *inputs: AbstractArray) -> bool:
        del inputs
        return True

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        return inserted(shape, self.axis, 1)

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        axis = normalize_axis(self.axis, len(array.shape))
        if array.shape[axis] != 1:
            raise OpError(f"axis {axis} of {array} has size {array.shape[axis]}; only an axis of size 1 can go away")
        return (AbstractArray((*array.shape[:axis], *array.shape[axis + 1 :]), array.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        (array,) = arrays
        return (array.squeeze(self.axis),)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del output
        axis = normalize_axis(self.axis, len(inputs[0].shape))
        return self._applied_to(with_axis(window, axis, (0, 1)))

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        (array,) = inputs
        bare = array.without_axis(normalize_axis(self.axis, len(array.shape)))
        return None if bare is None else (bare,)

    def after(self, before: Op, *inputs: AbstractArray) -> Op | None:
        return one_reshape(before, self, *inputs)

    def inverse(self, *inputs: AbstractArray) -> ExpandDims:
        (array,) = inputs
        return ExpandDims(normalize_axis(self.axis, len(array.shape)))


@final
@dataclass(frozen=True)
class ExpandDims(Op):
    """Adds an axis of size 1 that is `axis` of the result."""

    name: ClassVar[str] = "expand_dims"
    params: ClassVar[tuple[Param, ...]] = (Param("axis", "int", "the position of the new axis in the result"),)
    shorthand: ClassVar[str | None] = "axis"
    only_reshapes: ClassVar[bool] = True

    axis: int

    def keeps_axes(self, *inputs: AbstractArray) -> bool:
        del inputs
        return True

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        return without(shape, self.axis)

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        axis = normalize_axis(self.axis, len(array.shape) + 1)
        return (AbstractArray((*array.shape[:axis], 1, *array.shape[axis:]), array.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        import numpy as np

        (array,) = arrays
        return (np.expand_dims(array, self.axis),)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del inputs, output
        return self._applied_to(without_axis(window, normalize_axis(self.axis, len(window))))

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        (array,) = inputs
        return (array.with_axis(normalize_axis(self.axis, len(array.shape) + 1)),)

    def after(self, before: Op, *inputs: AbstractArray) -> Op | None:
        return one_reshape(before, self, *inputs)

    def inverse(self, *inputs: AbstractArray) -> Squeeze:
        (array,) = inputs
        return Squeeze(normalize_axis(self.axis, len(array.shape) + 1))
