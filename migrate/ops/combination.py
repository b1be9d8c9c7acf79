"""The base class of ops that compute one array of real numbers from unlike arrays, such as a weight and its scale."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from migrate.dtypes import item_bytes, kind
from migrate.ops.base import NotInvertible, Op, OpError, Param, Role, avals
from migrate.ops.piecewise import CHUNK
from migrate.ops.values import convert
from migrate.ops.windows import Pull, Window, cut, extent, whole, windows
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray[Any, Any]

OF = Param(
    "of", "names", "the names that `from:` binds to its arrays, in order; default: the names of its inputs", False
)

_WIDE = frozenset(("float64", "int32", "int64", "uint32", "uint64"))
"""Dtypes with numbers that float32 cannot hold."""


_USUAL = 128
"""The block of nearly every fp8 checkpoint, whose last block is cut where it does not divide the axis."""


@dataclass(frozen=True)
class Combination(Op):
    """Computes in float32, or in float64 where an input is wider, and rounds once to the dtype of the result.

    A subclass defines `_needs` and `_compute`; both work on any window of the result, so that arrays larger than memory
    are computed in parts, and a whole array in small pieces. A number that leaves the range of the result's dtype is
    refused.
    """

    role: ClassVar[Role] = "combine"
    structural: ClassVar[bool] = False
    prominence: ClassVar[int] = 5
    no_inverse: ClassVar[str]
    """Why the inputs cannot be computed from the result, as a sentence without a period."""

    of: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def names(self) -> tuple[str, ...]:
        return self.of

    @property
    def exact(self) -> bool:
        return False

    @property
    def rounds(self) -> bool:
        return True

    @property
    def remedy(self) -> str:
        return f"give `{self.name}` a wider dtype"

    def called_with(self, names: tuple[str, ...]) -> Self:
        return replace(self, of=()) if names else self

    def inverse(self, *inputs: AbstractArray) -> NotInvertible:
        del inputs
        return NotInvertible(self.no_inverse)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        inputs = avals(*arrays)
        (made,) = self.infer(*inputs)
        return (self._filled(inputs, made, whole(made.shape), arrays, [whole(array.shape) for array in arrays]),)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        made = self.infer(*inputs)[output]
        held = self._needs(inputs, window)
        return Pull(tuple(enumerate(held)), lambda parts: self._filled(inputs, made, window, parts, held))

    def _filled(
        self,
        inputs: Sequence[AbstractArray],
        made: AbstractArray,
        window: Window,
        parts: Sequence[Array],
        held: Sequence[Window],
    ) -> Array:
        """Returns a window of the result, computed piece by piece.

        Args:
          inputs: the whole inputs.
          made: the whole result.
          window: the window of the result.
          parts: windows of the inputs that cover what it needs.
          held: these windows.
        """
        import numpy as np

        from migrate import dtypes

        result = np.empty(extent(window), dtypes.to_numpy(made.dtype))
        for piece in windows(result.shape, _piece_shape(result.shape)) if result.size else ():
            box = tuple((low + a, low + b) for (low, _), (a, b) in zip(window, piece, strict=True))
            needs = self._needs(inputs, box)
            needed = [cut(part, _inside(need, base)) for part, need, base in zip(parts, needs, held, strict=True)]
            cut(result, piece)[...] = self._rounded(needed, inputs, box, made.dtype)
        return result

    def _rounded(self, parts: Sequence[Array], inputs: Sequence[AbstractArray], window: Window, dtype: str) -> Array:
        import numpy as np

        wide = computing_dtype(inputs)
        with np.errstate(all="ignore"):
            wanted = np.asarray(self._compute(parts, inputs, window))
            rounded = convert(wanted, dtype)
            if np.isfinite(rounded).all():
                return rounded
            # Computed from zeros, a result is a number unless one of its inputs is none.
            marks = [np.where(np.isfinite(convert(part, wide)), 0, np.nan) for part in parts]
            lost = ~np.isfinite(rounded) & np.isfinite(self._compute(marks, inputs, window))
        if lost.any():
            raise OpError(f"a result of {wanted[lost].flat[0]} is beyond {dtype}")
        return rounded

    @abc.abstractmethod
    def _needs(self, inputs: Sequence[AbstractArray], window: Window) -> tuple[Window, ...]:
        """Returns the window of each input that a window of the result, which is not empty, is computed from."""

    @abc.abstractmethod
    def _compute(self, parts: Sequence[Array], inputs: Sequence[AbstractArray], window: Window) -> Array:
        """Returns a window of the result in the computing dtype, from the windows of `_needs`.

        Each element is computed by the same operations whatever the window.
        """


def computing_dtype(inputs: Sequence[AbstractArray]) -> str:
    """Returns the dtype in which arrays of these dtypes are combined."""
    return "float64" if any(one.dtype in _WIDE for one in inputs) else "float32"


def require_real(name: str, array: AbstractArray) -> None:
    """Refuses an input that has no real numbers.

    Raises:
      OpError: it holds booleans, complex numbers or keys.
    """
    if kind(array.dtype) not in ("int", "uint", "float"):
        raise OpError(f"the {name}, {array}, has no real numbers")


def require_float(name: str, dtype: str) -> None:
    """Refuses a dtype that is not a float of at least 16 bits.

    Raises:
      OpError: it is another dtype.
    """
    if kind(dtype) != "float" or item_bytes(dtype) < 2:
        raise OpError(f"the {name} is {dtype}; it must be float16, bfloat16, float32 or float64")


def _piece_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Returns the shape of pieces of at most `CHUNK` elements that are contiguous in C order."""
    piece, room = [], CHUNK
    for axis in reversed(range(len(shape))):
        piece.append(max(1, min(shape[axis], room)))
        room = room // shape[axis] if piece[-1] == shape[axis] else 0
    return tuple(reversed(piece))


def _inside(window: Window, outer: Window) -> Window:
    """Returns a window as a window of the part of an array that `outer` is."""
    return tuple((low - start, high - start) for (low, high), (start, _) in zip(window, outer, strict=True))


def blocks(name: str, size: int, count: int, given: int | None = None) -> int:
    """Returns the size of the blocks in which a number of blocks divides an axis; the last block may be smaller.

    Equal blocks come first, and then the power of two; where the usual block would be cut and equal ones fit as well,
    the rule has to decide.

    Args:
      name: the input that has one number for each block, for messages.
      size: the size of the axis.
      count: the number of blocks.
      given: the size of a block that the rule gives.

    Raises:
      OpError: no block size fits, or several do.
    """
    if count in (1, size):
        return size if count == 1 else 1
    if not 0 < count < size:
        raise OpError(f"an axis of {size} cannot have {count} blocks, of which the {name} has one number each")
    least, most = math.ceil(size / count), math.ceil(size / (count - 1)) - 1
    if given is not None:
        if not least <= given <= most:
            raise OpError(f"blocks of {given} divide an axis of {size} into {math.ceil(size / given)}, not {count}")
        return given
    usual = {_USUAL} if least <= _USUAL <= most else set()
    powers = {2**n for n in range(most.bit_length()) if least <= 2**n <= most}
    choices = {least} | usual if size % count == 0 else {least} if least == most else powers
    if len(choices) == 1:
        return choices.pop()
    advice = " or ".join(f"`block: {choice}`" for choice in sorted(choices)) or "`block: N`"
    raise OpError(
        f"an axis of {size} in {count} blocks may have blocks of {least} to {most}",
        f"write {advice}, as the weight was quantized",
    )
