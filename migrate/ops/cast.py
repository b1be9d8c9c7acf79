"""`cast`: another dtype, with a check of every value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate import dtypes
from migrate.errors import did_you_mean
from migrate.ops.base import TEMPLATE, Op, OpError, Param
from migrate.ops.piecewise import map_chunks
from migrate.ops.template_dtype import require_bound, template_dtype
from migrate.ops.values import convert, unchanged
from migrate.ops.windows import Pull, Window
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray[Any, Any]


@final
@dataclass(frozen=True)
class Cast(Op):
    """Converts an array to another dtype; refuses to change a value, unless it is `lossy`.

    Changes are rounding, overflow, saturation, wrapping, a lost sign of zero, a lost imaginary part, and a NaN that
    becomes a number. With `lossy`, values are converted as NumPy and ml_dtypes do it.
    """

    name: ClassVar[str] = "cast"
    params: ClassVar[tuple[Param, ...]] = (
        Param("to", "dtype", "the new dtype; `template` takes the template's"),
        Param("lossy", "bool", "whether values may change; default: false", False),
    )
    shorthand: ClassVar[str | None] = "to"
    structural: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True
    only_casts: ClassVar[bool] = True

    to: str
    lossy: bool = False

    def __post_init__(self) -> None:
        if self.to != TEMPLATE and not dtypes.is_name(self.to):
            hint = did_you_mean(self.to, dtypes.NAMES)
            raise OpError(f"there is no dtype `{self.to}`" + (f"; {hint}" if hint else ""))

    @property
    def exact(self) -> bool:
        return not self.lossy

    def bind(self, inputs: Sequence[AbstractArray], target: AbstractArray | None, count: int | None) -> Cast:
        del inputs, count
        if self.to != TEMPLATE:
            return self
        return replace(self, to=template_dtype(target))

    def for_moments(self, *, templated: bool) -> Cast | None:
        return replace(self, to=TEMPLATE) if templated else None

    def keeps_axes(self, *inputs: AbstractArray) -> bool:
        del inputs
        return True

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        require_bound(self.to)
        if self.to != array.dtype and (dtypes.key_impl(self.to) or dtypes.key_impl(array.dtype)):
            raise OpError(f"{array} cannot become {self.to}: keys are not numbers; see `wrap_key_data` and `key_data`")
        return (AbstractArray(array.shape, self.to),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        (array,) = arrays
        if dtypes.from_numpy(array.dtype) == self.to:
            return (array,)
        if self.lossy:
            return (map_chunks(lambda piece, _: convert(piece, self.to), array),)
        return (self._checked(array),)

    def _checked(self, array: Array) -> Array:
        found = _Changes()

        def change(piece: Array, start: int) -> Array:
            converted = convert(piece, self.to)
            found.add(piece, converted, start)
            return converted

        result = map_chunks(change, array)
        if found.count:
            raise OpError(found.sentence(array, self.to))
        return result

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del inputs, output
        return self._applied_to(window)

    def inverse(self, *inputs: AbstractArray) -> Cast:
        (array,) = inputs
        return Cast(array.dtype, self.lossy)

    def restores(self, *inputs: AbstractArray) -> bool:
        (array,) = inputs
        return self.exact or array.dtype == self.to

    @property
    def loss(self) -> str:
        return f"the cast to {self.to} with `lossy: true` may have changed values"


@dataclass
class _Changes:
    """The number of values that a cast changes, and the first of them."""

    count: int = 0
    first: int = 0
    example: tuple[str, str] = field(default=("", ""))

    def add(self, before: Array, after: Array, start: int) -> None:
        changed = ~unchanged(before, after)
        count = int(changed.sum())
        if count and not self.count:
            index = int(changed.argmax())
            self.first = start + index
            self.example = (str(before[index]), str(after[index]))
        self.count += count

    def sentence(self, array: Array, to: str) -> str:
        import numpy as np

        index = [int(i) for i in np.unravel_index(self.first, array.shape)]
        before, after = self.example
        return (
            f"{self.count} of {array.size} values would change from {dtypes.from_numpy(array.dtype)} to {to}; "
            f"the first, at {index}, is {before} and would become {after}"
        )
