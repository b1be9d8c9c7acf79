"""`lora`: a weight with its low-rank adapter added."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.arithmetic import Number, value_of
from migrate.ops.base import TEMPLATE, Input, OpError, Param
from migrate.ops.combination import OF, Combination, computing_dtype, require_float, require_real
from migrate.ops.template_dtype import require_bound, template_dtype
from migrate.ops.values import convert
from migrate.ops.windows import Window
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray[Any, Any]


@final
@dataclass(frozen=True)
class Lora(Combination):
    """Computes base + scale * (b @ a), where the last axis of b and the first of a are the rank.

    peft stores b as (out, rank) and a as (rank, in), for a base of (out, in). The dimensions of the base are those of b
    followed by those of a, so that an adapter of JAX, (in, rank) and (rank, heads, size), is the same with b and a
    exchanged.
    """

    name: ClassVar[str] = "lora"
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("base", "the weight"),
        Input("a", "the adapter's array whose first axis is the rank"),
        Input("b", "the adapter's array whose last axis is the rank"),
    )
    params: ClassVar[tuple[Param, ...]] = (
        OF,
        Param(
            "scale",
            "arithmetic",
            "the factor: lora_alpha / r, or lora_alpha / sqrt(r) with rslora; default: from `adapter_config.json`",
            False,
        ),
        Param("to", "dtype", "the dtype of the result; default: that of the base", False),
    )
    shorthand: ClassVar[str | None] = "scale"
    no_inverse: ClassVar[str] = "a merged weight does not tell which part of it was the adapter"

    scale: Number | None = None
    to: str | None = None

    def __post_init__(self) -> None:
        if self.scale is not None:
            value_of(self.scale)
        if self.to not in (None, TEMPLATE):
            require_float("dtype of the result", str(self.to))

    def bind(self, inputs: Sequence[AbstractArray], target: AbstractArray | None, count: int | None) -> Lora:
        del count
        if self.to is None:
            return replace(self, to=inputs[0].dtype)
        if self.to != TEMPLATE:
            return self
        return replace(self, to=template_dtype(target))

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        base, a, b = inputs
        require_bound(self.to)
        if self.scale is None:
            raise OpError("its scale is not known", "give it: `{lora: {scale: lora_alpha / r}}`, with both numbers")
        for one, array in zip(self.inputs, inputs, strict=True):
            require_real(one.name, array)
        require_float("base", base.dtype)
        if not a.shape or not b.shape or not a.shape[0] or a.shape[0] != b.shape[-1]:
            raise OpError(f"the first axis of a, {a}, and the last of b, {b}, must be one rank of at least 1")
        if base.shape != (*b.shape[:-1], *a.shape[1:]):
            made = AbstractArray((*b.shape[:-1], *a.shape[1:]), base.dtype)
            raise OpError(f"b @ a is {made}, and the base is {base}", self._advice(base, a, b))
        return (AbstractArray(base.shape, self.to or base.dtype),)

    def _advice(self, base: AbstractArray, a: AbstractArray, b: AbstractArray) -> str | None:
        if base.shape[::-1] == (*b.shape[:-1], *a.shape[1:]) and len(base.shape) == 2:
            return "the base is stored transposed (`fan_in_fan_out`): put `{transpose: {of: base}}` before it"
        return None

    def _needs(self, inputs: Sequence[AbstractArray], window: Window) -> tuple[Window, ...]:
        _, a, b = inputs
        rank, rows = (0, a.shape[0]), len(b.shape) - 1
        return window, (rank, *window[rows:]), (*window[:rows], rank)

    def _compute(self, parts: Sequence[Array], inputs: Sequence[AbstractArray], window: Window) -> Array:
        import numpy as np

        del window
        # One term of the rank at a time: a library's product of matrices depends on the shape of the window.
        base, a, b = (convert(part, computing_dtype(inputs)) for part in parts)
        update = np.zeros_like(base)
        for term in range(a.shape[0]):
            update += np.multiply.outer(b[..., term], a[term])
        assert self.scale is not None, "`infer` refuses it"
        update *= update.dtype.type(value_of(self.scale))
        update += base
        return update
