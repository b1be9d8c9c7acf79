"""`tile`: an array repeated along its axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import Addition, Op, OpError, Param
from migrate.ops.crop import Crop
from migrate.ops.open_shapes import OpenShape
from migrate.ops.windows import Pull, Window
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@final
@dataclass(frozen=True)
class Tile(Op):
    """Repeats the whole array `reps[k]` times along each axis k. The inverse keeps the first copy."""

    name: ClassVar[str] = "tile"
    params: ClassVar[tuple[Param, ...]] = (Param("reps", "ints", "for each axis, the number of copies along it"),)
    shorthand: ClassVar[str | None] = "reps"
    structural: ClassVar[bool] = False
    adds: ClassVar[Addition | None] = "copies"

    reps: tuple[int, ...]

    def __post_init__(self) -> None:
        if min(self.reps, default=1) < 1:
            raise OpError(f"reps {list(self.reps)} must all be at least 1")

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        if len(self.reps) != len(array.shape):
            raise OpError(f"reps {list(self.reps)} are for {len(self.reps)} axes, but {array} has {len(array.shape)}")
        shape = tuple(size * rep for size, rep in zip(array.shape, self.reps, strict=True))
        return (AbstractArray(shape, array.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        import numpy as np

        (array,) = arrays
        return (np.tile(array, self.reps),)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        """A window inside one copy needs a window of the array; one that crosses copies needs whole axes."""
        del output
        import numpy as np

        needed, rows = [], []
        for size, (start, stop) in zip(inputs[0].shape, window, strict=True):
            first = start - start % size
            low, high = (start - first, stop - first) if stop - first <= size else (0, size)
            needed.append((low, high))
            rows.append([index % size - low for index in range(start, stop)])
        return Pull(((0, tuple(needed)),), lambda parts: parts[0][np.ix_(*rows)] if rows else parts[0])

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        if len(self.reps) != len(shape) or any(
            size is not None and size % rep for size, rep in zip(shape, self.reps, strict=True)
        ):
            return None
        return tuple(None if size is None else size // rep for size, rep in zip(shape, self.reps, strict=True))

    def inverse(self, *inputs: AbstractArray) -> Crop:
        (array,) = inputs
        return Crop(tuple((0, size) for size in array.shape))
