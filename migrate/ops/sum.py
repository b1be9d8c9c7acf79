"""`sum` and `product`: arrays of one shape added or multiplied element by element."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add, mul
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import OpError, Param
from migrate.ops.combination import OF, Combination, computing_dtype, require_float
from migrate.ops.values import convert
from migrate.ops.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from migrate.tree import AbstractArray

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Elementwise(Combination):
    """Combines arrays of one shape and dtype element by element, from the first to the last."""

    params: ClassVar[tuple[Param, ...]] = (OF,)
    shorthand: ClassVar[str | None] = "of"
    combine: ClassVar[Callable[[Any, Any], Any]]

    @property
    def remedy(self) -> str:
        return f"put a `cast` to a wider dtype before `{self.name}`"

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        if not inputs:
            raise OpError("there is no array to combine")
        first = inputs[0]
        for other in inputs[1:]:
            if other != first:
                raise OpError(f"{first} and {other} differ; only arrays of one shape and dtype have a {self.name}")
        require_float("dtype of the arrays", first.dtype)
        return (first,)

    def _needs(self, inputs: Sequence[AbstractArray], window: Window) -> tuple[Window, ...]:
        return (window,) * len(inputs)

    def _compute(self, parts: Sequence[Array], inputs: Sequence[AbstractArray], window: Window) -> Array:
        del window
        wide = (convert(part, computing_dtype(inputs)) for part in parts)
        result: Array = reduce(type(self).combine, wide)
        return result


@final
@dataclass(frozen=True)
class Sum(_Elementwise):
    """Adds arrays of one shape and dtype, in the order in which they are named."""

    name: ClassVar[str] = "sum"
    no_inverse: ClassVar[str] = "a sum does not tell its terms"
    combine: ClassVar[Callable[[Any, Any], Any]] = add


@final
@dataclass(frozen=True)
class Product(_Elementwise):
    """Multiplies arrays of one shape and dtype element by element, in the order in which they are named."""

    name: ClassVar[str] = "product"
    no_inverse: ClassVar[str] = "a product does not tell its factors"
    combine: ClassVar[Callable[[Any, Any], Any]] = mul
