"""`mxfp4`: blocks of 32 numbers of 4 bits with a power of two each, as gpt-oss stores its experts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import TEMPLATE, Input, OpError, Param
from migrate.ops.combination import OF, Combination, require_float
from migrate.ops.template_dtype import require_bound, template_dtype
from migrate.ops.windows import Window
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray[Any, Any]

_BYTES = 16
_NUMBERS = 2 * _BYTES
_BIAS = 127
_NOT_A_NUMBER = 255

_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""The values of the lower three bits; the highest bit is the sign."""


@final
@dataclass(frozen=True)
class Mxfp4(Combination):
    """Decodes uint8 blocks (…, out, groups, 16) with uint8 scales (…, out, groups) to (…, 32 * groups, out).

    A byte holds two numbers, the lower four bits first. A scale s stands for 2**(s - 127). bfloat16 holds every result
    exactly.
    """

    name: ClassVar[str] = "mxfp4"
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("blocks", "the packed numbers"),
        Input("scales", "the exponents"),
    )
    params: ClassVar[tuple[Param, ...]] = (
        OF,
        Param("to", "dtype", "the dtype of the result; default: bfloat16", False),
    )
    shorthand: ClassVar[str | None] = "to"
    no_inverse: ClassVar[str] = "a weight does not tell the exponents with which it was packed"

    to: str = "bfloat16"

    def __post_init__(self) -> None:
        if self.to != TEMPLATE:
            require_float("dtype of the result", self.to)

    @property
    def rounds(self) -> bool:
        return self.to == "float16"

    def bind(self, inputs: Sequence[AbstractArray], target: AbstractArray | None, count: int | None) -> Mxfp4:
        del inputs, count
        if self.to != TEMPLATE:
            return self
        return replace(self, to=template_dtype(target))

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        packed, scales = inputs
        require_bound(self.to)
        if packed.dtype != "uint8" or len(packed.shape) < 3 or packed.shape[-1] != _BYTES:
            raise OpError(f"the blocks are {packed}; they must be uint8[…,out,groups,{_BYTES}]")
        if scales != AbstractArray(packed.shape[:-1], "uint8"):
            raise OpError(f"the scales are {scales}; with blocks {packed} they must be uint8{list(packed.shape[:-1])}")
        *lead, out, groups, _ = packed.shape
        return (AbstractArray((*lead, groups * _NUMBERS, out), self.to),)

    def _needs(self, inputs: Sequence[AbstractArray], window: Window) -> tuple[Window, ...]:
        del inputs
        *lead, (low, high), out = window
        scales = (*lead, out, (low // _NUMBERS, -(-high // _NUMBERS)))
        return (*scales, (0, _BYTES)), scales

    def _compute(self, parts: Sequence[Array], inputs: Sequence[AbstractArray], window: Window) -> Array:
        import numpy as np

        del inputs
        packed, scales = (part.astype(np.uint8) for part in parts)
        if (scales == _NOT_A_NUMBER).any():
            raise OpError(f"a scale is {_NOT_A_NUMBER}, which stands for no number", "restore the checkpoint")
        values = np.array([*_E2M1, *(-value for value in _E2M1)], np.float32)
        pairs = values[np.stack([packed & 15, packed >> 4], axis=-1)]
        numbers = pairs.reshape(*packed.shape[:-1], _NUMBERS)
        scaled = np.ldexp(numbers, scales.astype(np.int32)[..., None] - _BIAS)
        low, high = window[-2]
        start = low - low // _NUMBERS * _NUMBERS
        flat = scaled.reshape(*scales.shape[:-1], -1)[..., start : start + high - low]
        result: Array = flat.swapaxes(-1, -2)
        return result
