"""`fill`: an array of one number, which needs no input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.dtypes import kind
from migrate.ops.base import NotInvertible, Op, OpError, Role
from migrate.ops.windows import Pull, Window, extent, without_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from migrate.tree import AbstractArray


@final
@dataclass(frozen=True)
class Fill(Op):
    """Makes an array that a rule file creates and a later one combines with others; only fused plans have it."""

    name: ClassVar[str] = "fill"
    role: ClassVar[Role] = "reduce"
    structural: ClassVar[bool] = False

    aval: AbstractArray
    value: int | float | bool

    @property
    def exact(self) -> bool:
        return False

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        if inputs:
            raise OpError(f"it takes no array, not {inputs[0]}")
        return (self.aval,)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        del arrays
        return (self._filled(self.aval.shape),)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del inputs, output
        return without_inputs(lambda: self._filled(extent(window)))

    def _filled(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        import numpy as np

        from migrate import dtypes
        from migrate.ops.values import convert, only_rounded

        if kind(self.aval.dtype) in ("float", "complex"):
            value = np.asarray(float(self.value))
            if not only_rounded(value, convert(value, self.aval.dtype).real):
                raise OpError(f"{self.aval} cannot hold a value near {self.value}")
        return np.full(shape, self.value, dtypes.to_numpy(self.aval.dtype))

    def inverse(self, *inputs: AbstractArray) -> NotInvertible:
        del inputs
        return NotInvertible("the array is made of one number")
