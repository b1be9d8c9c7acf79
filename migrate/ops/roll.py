"""`roll`: the elements along an axis shifted, those beyond its end coming back at its start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import Op, Param, normalize_axis
from migrate.ops.chunk_grid import ChunkGrid, joined
from migrate.ops.open_shapes import OpenShape
from migrate.ops.windows import Pull, Window, with_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from migrate.tree import AbstractArray


@final
@dataclass(frozen=True)
class Roll(Op):
    """Shifts the elements along `axis` by `shift` places, as `numpy.roll` does; negative shifts go backward."""

    name: ClassVar[str] = "roll"
    params: ClassVar[tuple[Param, ...]] = (
        Param("shift", "int", "by how many places elements move; those beyond the end come back at the start"),
        Param("axis", "int", "the axis along which they move"),
    )

    shift: int
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
        # NumPy itself refuses integers beyond 64 bits.
        shift = self.shift % max(array.shape[self.axis], 1)
        return (np.roll(array, shift, self.axis),)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        """A window that crosses the seam is made from the end of the axis and from its start."""
        del output
        import numpy as np

        axis = normalize_axis(self.axis, len(window))
        size = inputs[0].shape[axis]
        seam = self.shift % size
        start, stop = window[axis]
        parts = [(start - seam + size, min(stop, seam) - seam + size), (max(start, seam) - seam, stop - seam)]
        needs = tuple((0, with_range(window, axis, (low, high))) for low, high in parts if low < high)
        return Pull(needs, lambda arrays: np.concatenate(arrays, axis) if len(arrays) > 1 else arrays[0])

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        (array,) = inputs
        axis = normalize_axis(self.axis, len(array.shape))
        size = array.shape[axis]
        seam = self.shift % size
        if not seam:
            return inputs
        end, start = array.cut(axis, size - seam, size), array.cut(axis, 0, size - seam)
        rolled = joined([end, start], axis) if end and start else None
        return None if rolled is None else (rolled,)

    def inverse(self, *inputs: AbstractArray) -> Roll:
        del inputs
        return Roll(-self.shift, self.axis)
