"""`flip`: an axis in reverse order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import Op, Param, normalize_axis
from migrate.ops.open_shapes import OpenShape
from migrate.ops.windows import Pull, Window, with_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from migrate.tree import AbstractArray


@final
@dataclass(frozen=True)
class Flip(Op):
    """Reverses the order of the elements along `axis`; its own inverse."""

    name: ClassVar[str] = "flip"
    params: ClassVar[tuple[Param, ...]] = (Param("axis", "int", "the axis that is reversed"),)
    shorthand: ClassVar[str | None] = "axis"

    axis: int

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        return shape

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        normalize_axis(self.axis, len(array.shape))
        return (array,)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        import numpy as np

        (array,) = arrays
        return (np.flip(array, self.axis),)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del output
        axis = normalize_axis(self.axis, len(window))
        size, (start, stop) = inputs[0].shape[axis], window[axis]
        return self._applied_to(with_range(window, axis, (size - stop, size - start)))

    def inverse(self, *inputs: AbstractArray) -> Flip:
        del inputs
        return self
