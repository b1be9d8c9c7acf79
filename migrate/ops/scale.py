"""`scale`: every element times one number."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate import dtypes
from migrate.dtypes import int_bounds, kind
from migrate.ops.base import NotInvertible, Op, OpError, Param
from migrate.ops.piecewise import map_chunks
from migrate.ops.values import convert, only_rounded
from migrate.ops.windows import Pull, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from migrate.tree import AbstractArray

    Array = np.ndarray[Any, Any]


@final
@dataclass(frozen=True)
class Scale(Op):
    """Multiplies by `by` and keeps the dtype: in float64, rounded once; integers exactly.

    A finite number that leaves the dtype's range is refused, as is a fraction for integers. It is never exact, because
    rounding cannot be reversed.
    """

    name: ClassVar[str] = "scale"
    params: ClassVar[tuple[Param, ...]] = (Param("by", "number", "the factor; a whole number for integers"),)
    shorthand: ClassVar[str | None] = "by"
    structural: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True

    by: int | float

    def __post_init__(self) -> None:
        # A comparison, because `math.isfinite` fails on an integer beyond the range of floats.
        if not abs(self.by) <= sys.float_info.max:
            raise OpError(f"the factor {self.by} is not a finite number")

    @property
    def exact(self) -> bool:
        return False

    @property
    def remedy(self) -> str:
        return "put a `cast` to a wider dtype before `scale`, or use a smaller factor"

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        match kind(array.dtype):
            case "bool" | "key":
                raise OpError(f"{array} has no numbers that could be scaled")
            case "int" | "uint" if self.by != int(self.by):
                raise OpError(f"{array} holds integers and {self.by} is a fraction; `cast` to a float first")
        return (array,)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        (array,) = arrays
        match kind(dtypes.from_numpy(array.dtype)):
            case "int" | "uint":
                return (map_chunks(lambda piece, _: _scaled_integers(piece, int(self.by)), array),)
            case "complex":
                # Part by part: in complex arithmetic an infinity times a real number has NaN as its other part.
                return (
                    map_chunks(lambda piece, _: self._scaled(piece.view(piece.real.dtype)).view(piece.dtype), array),
                )
        return (map_chunks(lambda piece, _: self._scaled(piece), array),)

    def _scaled(self, piece: Array) -> Array:
        import numpy as np

        with np.errstate(all="ignore"):
            before = piece.astype(np.float64)
            wanted = before * float(self.by)
            held = convert(wanted, dtypes.from_numpy(piece.dtype))
            lost = np.isfinite(before) & ~(np.isfinite(wanted) & only_rounded(wanted, held))
        if lost.any():
            raise OpError(f"{piece[lost.argmax()]} times {self.by} is beyond {dtypes.from_numpy(piece.dtype)}")
        return held

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del inputs, output
        return self._applied_to(window)

    def inverse(self, *inputs: AbstractArray) -> Op | NotInvertible:
        (array,) = inputs
        if abs(self.by) == 1:
            return self
        if kind(array.dtype) in ("int", "uint"):
            return NotInvertible(f"integers cannot be divided by {self.by}")
        if self.by == 0 or not abs(1 / self.by) <= sys.float_info.max:
            return NotInvertible(f"1/{self.by} is not a finite number")
        return Scale(1 / self.by)

    def restores(self, *inputs: AbstractArray) -> bool:
        (array,) = inputs
        if abs(self.by) == 1:
            return True
        is_power_of_two = math.frexp(self.by)[0] in (0.5, -0.5)
        return kind(array.dtype) in ("float", "complex") and abs(self.by) > 1 and is_power_of_two


def _scaled_integers(piece: Array, by: int) -> Array:
    import numpy as np

    dtype = dtypes.from_numpy(piece.dtype)
    low, high = int_bounds(dtype)
    wide = piece.astype(np.uint64 if low == 0 else np.int64)
    for value in (int(wide.min(initial=0)), int(wide.max(initial=0))):
        if not low <= value * by <= high:
            raise OpError(f"{value} times {by} is beyond {dtype}")
    # Modulo 2**64 is exact here: every product was just seen to be in range.
    product = (wide.view(np.uint64) * np.uint64(by % 2**64)).view(np.int64)
    return product.astype(piece.dtype)
