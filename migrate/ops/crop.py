"""`crop`: a box of an array; the inverse of `pad` and `tile`, which change several axes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import NotInvertible, Op, OpError, Param
from migrate.ops.windows import Pull, Window, as_stored
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@final
@dataclass(frozen=True)
class Crop(Op):
    """Keeps the indices from `start` up to, not including, `stop` of every axis.

    It is structural and never exact, for the same reasons as `slice`.
    """

    name: ClassVar[str] = "crop"
    params: ClassVar[tuple[Param, ...]] = (Param("ranges", "pairs", "for each axis, [start, stop], counted from 0"),)
    shorthand: ClassVar[str | None] = "ranges"
    recuts: ClassVar[bool] = True

    ranges: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        for start, stop in self.ranges:
            if not 0 <= start <= stop:
                raise OpError(f"[{start}, {stop}] is not a range; 0 <= start <= stop")

    @property
    def exact(self) -> bool:
        return False

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        if len(self.ranges) != len(array.shape):
            raise OpError(f"there are {len(self.ranges)} ranges for the {len(array.shape)} axes of {array}")
        for axis, ((start, stop), size) in enumerate(zip(self.ranges, array.shape, strict=True)):
            if stop > size:
                raise OpError(f"[{start}, {stop}] is beyond axis {axis} of {array}, which has size {size}")
        return (AbstractArray(tuple(stop - start for start, stop in self.ranges), array.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        (array,) = arrays
        box: tuple[Any, ...] = tuple(slice(start, stop) for start, stop in self.ranges)
        # The ellipsis keeps a 0-d array an array.
        return (array[(*box, ...)],)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del inputs, output
        return as_stored(tuple((first + a, first + b) for (first, _), (a, b) in zip(self.ranges, window, strict=True)))

    def inverse(self, *inputs: AbstractArray) -> Op | NotInvertible:
        if self.infer(*inputs) == inputs:
            return self
        return NotInvertible("the elements that `crop` left behind are not in the result")

    def restores(self, *inputs: AbstractArray) -> bool:
        return self.infer(*inputs) == inputs
