"""`stack`: several arrays become one along a new axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import Op, OpError, Param, Role, normalise_axis
from migrate.ops.chunked import Chunked, joined
from migrate.ops.unstack import Unstack
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    import numpy as np


@final
@dataclass(frozen=True)
class Stack(Op):
    """Puts arrays of one shape and dtype side by side along a new `axis` of the result."""

    name: ClassVar[str] = "stack"
    role: ClassVar[Role] = "reduce"
    params: ClassVar[tuple[Param, ...]] = (Param("axis", "int", "where the new axis stands; 0 by default", False),)
    shorthand: ClassVar[str | None] = "axis"

    axis: int = 0

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        if not inputs:
            raise OpError("there is no array to stack")
        first = inputs[0]
        for other in inputs[1:]:
            if other != first:
                raise OpError(f"{first} and {other} differ; only arrays of one shape and dtype can be stacked")
        axis = normalise_axis(self.axis, len(first.shape) + 1)
        return (AbstractArray((*first.shape[:axis], len(inputs), *first.shape[axis:]), first.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        import numpy as np

        return (np.stack(arrays, axis=self.axis),)

    def relink(self, *inputs: Chunked) -> tuple[Chunked, ...] | None:
        axis = normalise_axis(self.axis, len(inputs[0].shape) + 1)
        whole = joined([array.with_axis(axis) for array in inputs], axis)
        return None if whole is None else (whole,)

    def inverse(self, *inputs: AbstractArray) -> Unstack:
        return Unstack(normalise_axis(self.axis, len(inputs[0].shape) + 1))
