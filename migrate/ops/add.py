"""`add`: every element plus one number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate import dtypes
from migrate.dtypes import int_bounds, kind
from migrate.ops.arithmetic import Number, negative, value_of
from migrate.ops.base import Op, OpError, Param
from migrate.ops.piecewise import map_chunks
from migrate.ops.rounding import unrestored
from migrate.ops.values import only_rounded, rounded_once
from migrate.ops.windows import Pull, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from migrate.tree import AbstractArray

    Array = np.ndarray[Any, Any]


@final
@dataclass(frozen=True)
class Add(Op):
    """Adds `value` and keeps the dtype: in float64, rounded once; integers exactly.

    A finite number that leaves the dtype's range is refused, as is a fraction for integers. Floating-point numbers
    smaller than the value lose digits: `unrestored` counts them. Gradients do not change, and so moments do not.
    """

    name: ClassVar[str] = "add"
    params: ClassVar[tuple[Param, ...]] = (
        Param("value", "arithmetic", "the number that is added, as a number or arithmetic; whole for integers"),
    )
    shorthand: ClassVar[str | None] = "value"
    structural: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True

    value: Number

    def __post_init__(self) -> None:
        value_of(self.value)

    @cached_property
    def number(self) -> int | float:
        """The value as a number."""
        return value_of(self.value)

    @property
    def exact(self) -> bool:
        return False

    @property
    def gradient_factor(self) -> float | None:
        return 1.0

    @property
    def remedy(self) -> str:
        return "put a `cast` to a wider dtype before `add`, or add a smaller number"

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        match kind(array.dtype):
            case "bool" | "key":
                raise OpError(f"{array} has no numbers to which one could be added")
            case "int" | "uint" if self.number != int(self.number):
                raise OpError(f"{array} holds integers and {self.value} is a fraction; `cast` to a float first")
        return (array,)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        (array,) = arrays
        integers = kind(dtypes.from_numpy(array.dtype)) in ("int", "uint")
        return (map_chunks(lambda piece, _: self._integers(piece) if integers else self._floats(piece), array),)

    def _integers(self, piece: Array) -> Array:
        import numpy as np

        dtype, number = dtypes.from_numpy(piece.dtype), int(self.number)
        low, high = int_bounds(dtype)
        wide = piece.astype(np.uint64 if low == 0 else np.int64)
        for value in (int(wide.min()), int(wide.max())) if wide.size else ():
            if not low <= value + number <= high:
                raise OpError(f"{value} plus {number} is beyond {dtype}")
        # Modulo 2**64 is exact here: every sum was just seen to be in range.
        return (wide.view(np.uint64) + np.uint64(number % 2**64)).view(np.int64).astype(piece.dtype)

    def _floats(self, piece: Array) -> Array:
        import numpy as np

        result = piece.copy()
        parts = result.real
        dtype = dtypes.from_numpy(parts.dtype)
        with np.errstate(all="ignore"):
            before = parts.astype(np.float64)
            wanted = before + float(self.number)
            held = rounded_once(wanted, dtype)
            lost = np.isfinite(before) & ~(np.isfinite(wanted) & only_rounded(wanted, held))
        if lost.any():
            raise OpError(f"{parts[lost.argmax()]} plus {self.value} is beyond {dtype}")
        result.real = held
        return result

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del inputs, output
        return self._applied_to(window)

    def inverse(self, *inputs: AbstractArray) -> Add:
        del inputs
        return Add(negative(self.value) if isinstance(self.value, str) else -self.value)

    def restores(self, *inputs: AbstractArray) -> bool:
        (array,) = inputs
        return kind(array.dtype) in ("int", "uint")

    def unrestored(self, *inputs: AbstractArray) -> str:
        (array,) = inputs
        if self.restores(array) or not self.number:
            return ""
        exponent = math.frexp(self.number)[1] - 3
        noun = f"numbers of {{}} from {2.0**exponent:g} to {2.0 ** (exponent + 1):g}"
        number = float(self.number)
        return unrestored(array.dtype, noun, exponent, lambda x: x + number, lambda x: x - number)
