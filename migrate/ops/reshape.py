"""`reshape`: the same elements in row-major order under another shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from migrate.codes import MixedAxes
from migrate.ops.axis_regrouping import blocks, cuts_across, patterns
from migrate.ops.base import TEMPLATE, Op, OpError, Param, wide
from migrate.ops.chunk_grid import ChunkGrid
from migrate.ops.reshape_windows import regroup
from migrate.ops.windows import Pull, Window
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

_MOST_PATTERNS = 3
"""The most patterns of `rearrange` that a help proposes."""


def one_reshape(before: Op, then: Op, *inputs: AbstractArray) -> Reshape | None:
    """Returns the reshape that does what both ops do; None if one of them does more."""
    if not (before.only_reshapes and then.only_reshapes):
        return None
    (result,) = then.infer(*before.infer(*inputs))
    return Reshape(result.shape)


@final
@dataclass(frozen=True)
class Reshape(Op):
    """Gives an array a new shape; one dimension may be -1, which takes the remaining elements.

    `template` only splits axes and merges adjacent ones. Any other shape could as well be that of reordered axes, so
    that it has to be written out.
    """

    name: ClassVar[str] = "reshape"
    params: ClassVar[tuple[Param, ...]] = (
        Param("shape", "shape", "the new shape; one dimension may be -1, and `template` takes the template's"),
    )
    shorthand: ClassVar[str | None] = "shape"
    regroups: ClassVar[bool] = True
    only_reshapes: ClassVar[bool] = True

    shape: tuple[int, ...] | Literal["template"]

    def __post_init__(self) -> None:
        if self.shape == TEMPLATE:
            return
        if self.shape.count(-1) > 1:
            raise OpError(f"{list(self.shape)} has more than one -1, so that no dimension is determined")
        if min(self.shape, default=0) < -1:
            raise OpError(f"{list(self.shape)} has a negative dimension")

    def bind(self, inputs: Sequence[AbstractArray], target: AbstractArray | None, count: int | None) -> Reshape:
        del count
        if self.shape != TEMPLATE:
            return self
        if target is None:
            raise OpError("the shape is `template`, but there is no template leaf that it goes to")
        if cuts_across(inputs[0].shape, target.shape):
            raise _across_axes(inputs[0], target)
        return replace(self, shape=target.shape)

    def unseen_order(self, *inputs: AbstractArray) -> str:
        (array,), (result,) = inputs, self.infer(*inputs)
        pairs = [pair for pair in blocks(array.shape, result.shape) if pair[0] != pair[1]]
        return ", ".join(
            dict.fromkeys(
                f"{_factors(old)} = {_factors(new)}" for old, new in (sorted(pair, key=len) for pair in pairs)
            )
        )

    def keeps_axes(self, *inputs: AbstractArray) -> bool:
        (array,), (result,) = inputs, self.infer(*inputs)
        return wide(array.shape) == wide(result.shape)

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        return (AbstractArray(_resolved(self.shape, array), array.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        (array,) = arrays
        return (array.reshape(self.shape),)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del output
        (result,) = self.infer(*inputs)
        needs, make = regroup(inputs[0].shape, result.shape, window)
        return Pull(tuple((0, part) for part in needs), make)

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        (array,) = inputs
        (result,) = self.infer(AbstractArray(array.shape, "bool"))
        reshaped = array.reshaped(result.shape)
        return None if reshaped is None else (reshaped,)

    def after(self, before: Op, *inputs: AbstractArray) -> Op | None:
        return one_reshape(before, self, *inputs)

    def inverse(self, *inputs: AbstractArray) -> Reshape:
        (array,) = inputs
        return Reshape(array.shape)

    def spellings(self, inputs: Sequence[AbstractArray], inverts: Op) -> Iterator[Reshape]:
        del inputs, inverts
        yield self
        if isinstance(self.shape, tuple):
            for axis in range(len(self.shape)):
                yield Reshape((*self.shape[:axis], -1, *self.shape[axis + 1 :]))


def _across_axes(array: AbstractArray, target: AbstractArray) -> OpError:
    """The error for a template's shape that is no split and no merge of whole axes: `reshape` would mix them."""
    message = f"the template's {target} neither splits nor merges whole axes of it, so that they would mix"
    found = patterns(array.shape, target.shape, _MOST_PATTERNS)
    meant = " or ".join(f'`rearrange: "{pattern}"`' for pattern in found)
    order = f"`reshape: {list(target.shape)}` takes the elements in their order all the same"
    return OpError(message, f"write {meant}; {order}" if found else order, MixedAxes)


def _factors(sizes: Sequence[int]) -> str:
    return " × ".join(map(str, sizes))


def _resolved(shape: tuple[int, ...] | Literal["template"], array: AbstractArray) -> tuple[int, ...]:
    if shape == TEMPLATE:
        raise OpError("the shape is `template` and was not bound to a template leaf")
    known = math.prod(dim for dim in shape if dim != -1)
    if -1 in shape and known and array.size % known == 0:
        return tuple(array.size // known if dim == -1 else dim for dim in shape)
    if -1 in shape or known != array.size:
        raise OpError(f"{array} has {array.size} elements and cannot take the shape {list(shape)}")
    return shape
