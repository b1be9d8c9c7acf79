"""`dequantize`: a quantized array times its scales, of which there is one for each block."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.dtypes import kind
from migrate.ops.base import TEMPLATE, Input, OpError, Param
from migrate.ops.combination import OF, Combination, blocks, computing_dtype, require_float, require_real
from migrate.ops.template_dtype import require_bound, template_dtype
from migrate.ops.values import convert
from migrate.ops.windows import Window
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray[Any, Any]

_EXPONENTS = "`mxfp4` takes exponents; for another format, use `call` with `of: [value, scale]`"


@final
@dataclass(frozen=True)
class Dequantize(Combination):
    """Computes (value - zero_point) * scale; each axis of the scale has the number of blocks of the value's axis.

    So one scale for the tensor, for a channel, for a tile or for a block of 128 by 128 is read off the shapes. Where
    two sizes of blocks are possible, `block` decides.
    """

    name: ClassVar[str] = "dequantize"
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("value", "the quantized numbers"),
        Input("scale", "their factors, also where they are named `scale_inv`"),
        Input("zero_point", "the numbers that stand for zero", False),
    )
    params: ClassVar[tuple[Param, ...]] = (
        OF,
        Param("to", "dtype", "the dtype of the result; default: float32", False),
        Param("block", "int", "the size of a block where the shapes allow several; default: from the shapes", False),
    )
    shorthand: ClassVar[str | None] = "to"
    no_inverse: ClassVar[str] = "a weight does not tell the scales and the roundings with which it was quantized"

    to: str = "float32"
    block: int | None = None

    def __post_init__(self) -> None:
        if self.to != TEMPLATE:
            require_float("dtype of the result", self.to)
        if self.block is not None and self.block < 1:
            raise OpError(f"a block cannot have {self.block} elements")

    def bind(self, inputs: Sequence[AbstractArray], target: AbstractArray | None, count: int | None) -> Dequantize:
        del inputs, count
        if self.to != TEMPLATE:
            return self
        return replace(self, to=template_dtype(target))

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        require_bound(self.to)
        for one, array in zip(self.inputs, inputs, strict=False):
            require_real(one.name, array)
        if kind(inputs[1].dtype) != "float":
            raise OpError(f"the scale, {inputs[1]}, is no float; integers may stand for exponents", _EXPONENTS)
        self._blocks(inputs)
        return (AbstractArray(inputs[0].shape, self.to),)

    def _blocks(self, inputs: Sequence[AbstractArray]) -> list[tuple[int, ...]]:
        """Returns the shape of a block for the scale, and for the zero point if there is one."""
        value = inputs[0]
        return [self._block(one.name, value, array) for one, array in zip(self.inputs[1:], inputs[1:], strict=False)]

    def _block(self, name: str, value: AbstractArray, other: AbstractArray) -> tuple[int, ...]:
        if not other.shape:
            return ()
        if len(other.shape) != len(value.shape):
            raise OpError(
                f"the {name}, {other}, has {len(other.shape)} dimensions, and the value, {value}, {len(value.shape)}",
                f"put `{{expand_dims: {{axis: 1, of: {name}}}}}` before it, with the axis that the {name} lacks",
            )
        pairs = zip(value.shape, other.shape, strict=True)
        return tuple(blocks(name, size, count, self.block) for size, count in pairs)

    def _needs(self, inputs: Sequence[AbstractArray], window: Window) -> tuple[Window, ...]:
        return (window, *(_covering(window, shape) for shape in self._blocks(inputs)))

    def _compute(self, parts: Sequence[Array], inputs: Sequence[AbstractArray], window: Window) -> Array:
        wide = computing_dtype(inputs)
        value, *others = (convert(part, wide) for part in parts)
        scale, *zeros = (_spread(part, window, shape) for part, shape in zip(others, self._blocks(inputs), strict=True))
        for zero in zeros:
            value = value - zero
        product: Array = value * scale
        return product


def _covering(window: Window, block: tuple[int, ...]) -> Window:
    """Returns the blocks that overlap a window; of an array without axes, its only number."""
    return tuple((low // size, -(-high // size)) for (low, high), size in zip(window, block, strict=False))


def _spread(part: Array, window: Window, block: tuple[int, ...]) -> Array:
    """Returns an array with the number of its block for each element of a window."""
    import numpy as np

    for axis, ((low, high), size) in enumerate(zip(window, block, strict=False)):
        if part.shape[axis] > 1:
            part = np.take(part, np.arange(low, high) // size - low // size, axis)
    return part
