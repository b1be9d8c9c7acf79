"""`transpose`: the axes in another order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import Op, OpError, Param, normalize_axis
from migrate.ops.chunk_grid import ChunkGrid, keeps_order
from migrate.ops.open_shapes import OpenShape
from migrate.ops.windows import Pull, Window
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@final
@dataclass(frozen=True)
class Transpose(Op):
    """Puts the axes in the order of `perm` (default: reversed)."""

    name: ClassVar[str] = "transpose"
    params: ClassVar[tuple[Param, ...]] = (
        Param("perm", "ints", "for each new axis, the old axis that it is; default: the axes reversed", False),
    )
    shorthand: ClassVar[str | None] = "perm"

    perm: tuple[int, ...] | None = None

    def keeps_axes(self, *inputs: AbstractArray) -> bool:
        del inputs
        return True

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        if self.perm is None:
            return shape[::-1]
        if sorted(axis % len(shape) for axis in self.perm) != list(range(len(shape))):
            return None
        order = [axis % len(shape) for axis in self.perm]
        return tuple(shape[order.index(axis)] for axis in range(len(shape)))

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        return (AbstractArray(tuple(array.shape[axis] for axis in self._order(array)), array.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        (array,) = arrays
        return (array.transpose(self.perm),)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del output
        order = self._order(inputs[0])
        return self._applied_to(tuple(window[order.index(axis)] for axis in range(len(order))))

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        (array,) = inputs
        order = self._order(AbstractArray(array.shape, "bool"))
        if not keeps_order(order, array.shape):
            return None
        reshaped = array.reshaped([array.shape[axis] for axis in order])
        return None if reshaped is None else (reshaped,)

    def does_nothing(self, *inputs: AbstractArray) -> bool:
        (array,) = inputs
        return tuple(self._order(array)) == tuple(range(len(array.shape)))

    def after(self, before: Op, *inputs: AbstractArray) -> Op | None:
        if not isinstance(before, Transpose):
            return None
        first, (between,) = before._order(*inputs), before.infer(*inputs)  # noqa: SLF001 - its own class
        return Transpose(tuple(first[axis] for axis in self._order(between)))

    def inverse(self, *inputs: AbstractArray) -> Transpose:
        (array,) = inputs
        if self.perm is None:
            return self
        order = self._order(array)
        return Transpose(tuple(order.index(axis) for axis in range(len(order))))

    def _order(self, array: AbstractArray) -> tuple[int, ...]:
        ndim = len(array.shape)
        if self.perm is None:
            return tuple(reversed(range(ndim)))
        if len(self.perm) != ndim:
            raise OpError(f"perm {list(self.perm)} orders {len(self.perm)} axes, but {array} has {ndim}")
        order = tuple(normalize_axis(axis, ndim) for axis in self.perm)
        if len(set(order)) != ndim:
            raise OpError(f"perm {list(self.perm)} names an axis twice")
        return order
