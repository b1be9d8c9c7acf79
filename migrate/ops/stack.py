"""`stack` joins arrays along a new axis; `unstack` divides an array along an axis, which it removes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import Op, OpError, Param, Role, normalize_axis
from migrate.ops.chunk_grid import ChunkGrid, joined
from migrate.ops.open_shapes import OpenShape, inserted, without
from migrate.ops.windows import Pull, Window, with_axis, without_axis
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@final
@dataclass(frozen=True)
class Stack(Op):
    """Joins arrays of one shape and dtype along a new `axis` of the result."""

    name: ClassVar[str] = "stack"
    role: ClassVar[Role] = "reduce"
    params: ClassVar[tuple[Param, ...]] = (Param("axis", "int", "the position of the new axis; default: 0", False),)
    shorthand: ClassVar[str | None] = "axis"
    recuts: ClassVar[bool] = True
    prominence: ClassVar[int] = 4

    axis: int = 0

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        return without(shape, self.axis)

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        if not inputs:
            raise OpError("there is no array to stack")
        first = inputs[0]
        for other in inputs[1:]:
            if other != first:
                raise OpError(f"{first} and {other} differ; only arrays of one shape and dtype can be stacked")
        axis = normalize_axis(self.axis, len(first.shape) + 1)
        return (AbstractArray((*first.shape[:axis], len(inputs), *first.shape[axis:]), first.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        import numpy as np

        return (np.stack(arrays, axis=self.axis),)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del inputs, output
        axis = normalize_axis(self.axis, len(window))
        rest = without_axis(window, axis)
        return Pull(tuple((number, rest) for number in range(*window[axis])), lambda parts: self.apply(*parts)[0])

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        axis = normalize_axis(self.axis, len(inputs[0].shape) + 1)
        whole = joined([array.with_axis(axis) for array in inputs], axis)
        return None if whole is None else (whole,)

    def preimage(self, *results: AbstractArray) -> tuple[AbstractArray, ...]:
        return Unstack(self.axis).infer(*results)

    def inverse(self, *inputs: AbstractArray) -> Unstack:
        return Unstack(normalize_axis(self.axis, len(inputs[0].shape) + 1))


@final
@dataclass(frozen=True)
class Unstack(Op):
    """Divides an array along `axis`, which is removed; the number of results is the size of the axis."""

    name: ClassVar[str] = "unstack"
    role: ClassVar[Role] = "extend"
    params: ClassVar[tuple[Param, ...]] = (Param("axis", "int", "the axis that is removed; default: 0", False),)
    shorthand: ClassVar[str | None] = "axis"
    recuts: ClassVar[bool] = True
    prominence: ClassVar[int] = 3

    axis: int = 0

    def bind(self, inputs: Sequence[AbstractArray], target: AbstractArray | None, count: int | None) -> Unstack:
        del target
        (array,) = inputs
        axis = normalize_axis(self.axis, len(array.shape))
        if count is not None and array.shape[axis] > count:  # fewer may be all: another rule can fill the others
            raise OpError(f"axis {axis} of {array} gives {array.shape[axis]} arrays, but the rule expects {count}")
        return self

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        return inserted(shape, self.axis, None)

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        axis = normalize_axis(self.axis, len(array.shape))
        if array.shape[axis] == 0:
            raise OpError(f"axis {axis} of {array} is empty, so that nothing would be left of the array")
        part = AbstractArray((*array.shape[:axis], *array.shape[axis + 1 :]), array.dtype)
        return (part,) * array.shape[axis]

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        (array,) = arrays
        lead: tuple[Any, ...] = (slice(None),) * normalize_axis(self.axis, array.ndim)
        # With the ellipsis the elements of a 1-d array are arrays, not scalars.
        return tuple(array[(*lead, index, ...)] for index in range(array.shape[self.axis]))

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        axis = normalize_axis(self.axis, len(inputs[0].shape))
        return self._applied_to(with_axis(window, axis, (output, output + 1)))

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        (array,) = inputs
        axis = normalize_axis(self.axis, len(array.shape))
        layers = [array.cut(axis, index, index + 1) for index in range(array.shape[axis])]
        bare = tuple(part for layer in layers if layer is not None and (part := layer.without_axis(axis)))
        return bare if len(bare) == len(layers) else None

    def preimage(self, *results: AbstractArray) -> tuple[AbstractArray, ...]:
        return Stack(self.axis).infer(*results)

    def inverse(self, *inputs: AbstractArray) -> Stack:
        (array,) = inputs
        return Stack(normalize_axis(self.axis, len(array.shape)))
