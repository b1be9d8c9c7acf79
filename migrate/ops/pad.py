"""`pad`: a border of one value around an array."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate import dtypes
from migrate.dtypes import holds, kind
from migrate.ops.base import Addition, Op, OpError, Param
from migrate.ops.crop import Crop
from migrate.ops.open_shapes import OpenShape
from migrate.ops.values import convert, only_rounded
from migrate.ops.windows import Pull, Window, empty, extent, without_inputs
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@final
@dataclass(frozen=True)
class Pad(Op):
    """Adds `value` before and after the elements of every axis. The inverse crops the border.

    In a floating-point dtype the value is rounded to nearest; a value beyond its range is refused, as is a value that
    an integer dtype cannot represent.
    """

    name: ClassVar[str] = "pad"
    params: ClassVar[tuple[Param, ...]] = (
        Param("widths", "pairs", "for each axis, [before, after]: the number of elements that are added"),
        Param("value", "number", "the value that is added; default: 0", False),
    )
    shorthand: ClassVar[str | None] = "widths"
    structural: ClassVar[bool] = False
    adds: ClassVar[Addition | None] = "fresh"

    widths: tuple[tuple[int, int], ...]
    value: int | float | bool = 0

    def __post_init__(self) -> None:
        if isinstance(self.value, int) and abs(self.value) > sys.float_info.max:
            raise OpError(f"{self.value} is beyond every dtype")
        for before, after in self.widths:
            if min(before, after) < 0:
                raise OpError(f"[{before}, {after}] is negative; `crop` and `slice` take elements away")

    def for_moments(self, *, templated: bool) -> Pad:
        """The pad with zeros, the initial moments of new elements."""
        del templated
        return Pad(self.widths)

    @property
    def remedy(self) -> str:
        return "put a `cast` to a wider dtype before `pad`, or use another value"

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        if len(shape) != len(self.widths):
            return None
        sizes = [size if size is None else size - sum(width) for size, width in zip(shape, self.widths, strict=True)]
        return None if any(size is not None and size < 0 for size in sizes) else tuple(sizes)

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        if len(self.widths) != len(array.shape):
            raise OpError(f"there are {len(self.widths)} widths for the {len(array.shape)} axes of {array}")
        self._check_value(array.dtype)
        shape = tuple(before + size + after for size, (before, after) in zip(array.shape, self.widths, strict=True))
        return (AbstractArray(shape, array.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        import numpy as np

        (array,) = arrays
        shape = tuple(before + size + after for size, (before, after) in zip(array.shape, self.widths, strict=True))
        result = np.full(shape, self._fill(array), dtype=array.dtype)
        inside = [slice(before, before + size) for size, (before, _) in zip(array.shape, self.widths, strict=True)]
        result[tuple(inside)] = array
        return (result,)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del output
        inside, widths = [], []
        for size, (before, _), (start, stop) in zip(inputs[0].shape, self.widths, window, strict=True):
            low, high = (min(max(bound - before, 0), size) for bound in (start, stop))
            inside.append((low, high))
            left = min(max(before - start, 0), stop - start)
            widths.append((left, stop - start - left - (high - low)))
        part = Pad(tuple(widths), self.value)
        if 0 in extent(inside):
            nothing = empty(inside, inputs[0].dtype)
            return without_inputs(lambda: part.apply(nothing.make(()))[0])
        return Pull(((0, tuple(inside)),), lambda parts: part.apply(*parts)[0])

    def inverse(self, *inputs: AbstractArray) -> Crop:
        (array,) = inputs
        return Crop(tuple((before, before + size) for size, (before, _) in zip(array.shape, self.widths, strict=True)))

    def _check_value(self, dtype: str) -> None:
        if kind(dtype) == "key":
            raise OpError(f"{dtype} cannot be padded: no number is a key")
        if not holds(dtype, self.value):
            raise OpError(f"{dtype} cannot hold the value {self.value}")

    def _fill(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The value in the array's dtype, as a 0-d array."""
        import numpy as np

        dtype = dtypes.from_numpy(array.dtype)
        self._check_value(dtype)
        if kind(dtype) not in ("float", "complex"):
            return convert(np.asarray(int(self.value)), dtype)
        value = np.asarray(float(self.value))
        fill = convert(value, dtype)
        if not only_rounded(value, fill.real):
            raise OpError(f"{dtype} cannot hold a value near {self.value}")
        return fill
