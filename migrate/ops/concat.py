"""`concat`: several arrays end to end along an axis that they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import Op, OpError, Param, Role, normalise_axis
from migrate.ops.chunked import Chunked, joined
from migrate.ops.split import Split
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    import numpy as np


@final
@dataclass(frozen=True)
class Concat(Op):
    """Joins arrays of one dtype that differ at most in the size of `axis`."""

    name: ClassVar[str] = "concat"
    role: ClassVar[Role] = "reduce"
    params: ClassVar[tuple[Param, ...]] = (
        Param("axis", "int", "the axis along which they are joined; 0 by default", False),
    )
    shorthand: ClassVar[str | None] = "axis"

    axis: int = 0

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        if not inputs:
            raise OpError("there is no array to join")
        first = inputs[0]
        axis = normalise_axis(self.axis, len(first.shape))
        for other in inputs[1:]:
            _check_alike(first, other, axis)
        total = sum(array.shape[axis] for array in inputs)
        return (AbstractArray((*first.shape[:axis], total, *first.shape[axis + 1 :]), first.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        import numpy as np

        return (np.concatenate(arrays, axis=self.axis),)

    def relink(self, *inputs: Chunked) -> tuple[Chunked, ...] | None:
        whole = joined(inputs, normalise_axis(self.axis, len(inputs[0].shape)))
        return None if whole is None else (whole,)

    def inverse(self, *inputs: AbstractArray) -> Split:
        axis = normalise_axis(self.axis, len(inputs[0].shape))
        return Split(axis, tuple(array.shape[axis] for array in inputs))


def _check_alike(first: AbstractArray, other: AbstractArray, axis: int) -> None:
    if first.dtype != other.dtype:
        raise OpError(f"{first} and {other} have different dtypes; `cast` one of them first")
    alike = len(first.shape) == len(other.shape) and all(
        a == b for dim, (a, b) in enumerate(zip(first.shape, other.shape, strict=True)) if dim != axis
    )
    if not alike:
        raise OpError(f"{first} and {other} differ in more than axis {axis}")
