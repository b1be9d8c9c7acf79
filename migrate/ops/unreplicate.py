"""`unreplicate`: one of the equal parts along an axis, as `flax.jax_utils.unreplicate` takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import NotInvertible, Op, OpError, Param, normalize_axis
from migrate.ops.open_shapes import OpenShape, inserted
from migrate.ops.windows import Pull, Window, with_axis
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@final
@dataclass(frozen=True)
class Unreplicate(Op):
    """Removes `axis`, along which all parts must be equal, bit for bit.

    A state that `pmap` trained has one part per device. Unlike a slice, the op refuses parts that differ, such as those
    of several seeds. It is structural: the moments of a replicated param are replicated, too.
    """

    name: ClassVar[str] = "unreplicate"
    params: ClassVar[tuple[Param, ...]] = (
        Param("axis", "int", "the axis of the replicas, which is removed; default: 0", False),
    )
    shorthand: ClassVar[str | None] = "axis"

    axis: int = 0

    @property
    def exact(self) -> bool:
        return False

    @property
    def only_permutes(self) -> bool:
        return False

    @property
    def remedy(self) -> str:
        axis = f"{{axis: {self.axis}"
        return f"`{{slice: {axis}, start: 0, stop: 1}}}}, {{squeeze: {axis}}}}}` keeps the first part only"

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        return inserted(shape, self.axis, None)

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        axis = normalize_axis(self.axis, len(array.shape))
        if not array.shape[axis]:
            raise OpError(f"axis {axis} of {array} has size 0, so there is no part to keep")
        return (AbstractArray((*array.shape[:axis], *array.shape[axis + 1 :]), array.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        import numpy as np

        (array,) = arrays
        axis = normalize_axis(self.axis, array.ndim)
        parts = np.moveaxis(array, axis, 0)
        first = np.ascontiguousarray(parts[0]).tobytes()
        for index in range(1, len(parts)):
            if np.ascontiguousarray(parts[index]).tobytes() != first:
                raise OpError(f"parts 0 and {index} along axis {axis} differ, so they are not replicas")
        return (parts[0],)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del output
        (array,) = inputs
        axis = normalize_axis(self.axis, len(array.shape))
        return self._applied_to(with_axis(window, axis, (0, array.shape[axis])))

    def inverse(self, *inputs: AbstractArray) -> NotInvertible:
        del inputs
        return NotInvertible("the number of replicas is not in the result")
