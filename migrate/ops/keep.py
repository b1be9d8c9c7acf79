"""`keep`: an array unchanged, beside arrays of the same task to which a step applies another op."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import Op
from migrate.ops.windows import Pull, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from migrate.ops.chunk_grid import ChunkGrid
    from migrate.tree import AbstractArray


@final
@dataclass(frozen=True)
class Keep(Op):
    """Passes an array on; only plans have it, rule files do not."""

    name: ClassVar[str] = "keep"
    prominence: ClassVar[int] = -1

    def keeps_axes(self, *inputs: AbstractArray) -> bool:
        del inputs
        return True

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        return (array,)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        return arrays

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del inputs, output
        return self._applied_to(window)

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        return inputs

    def does_nothing(self, *inputs: AbstractArray) -> bool:
        del inputs
        return True

    def inverse(self, *inputs: AbstractArray) -> Keep:
        del inputs
        return self
