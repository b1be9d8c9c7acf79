"""`concat` joins arrays along an existing axis; `split` divides an array along an axis."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.ops.base import NotInvertible, Op, OpError, Param, Role, normalize_axis
from migrate.ops.chunk_grid import ChunkGrid, joined
from migrate.ops.open_shapes import OpenShape, opened
from migrate.ops.windows import Pull, Window, as_stored, with_range
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np


@final
@dataclass(frozen=True)
class Concat(Op):
    """Joins arrays of one dtype that differ at most in the size of `axis`."""

    name: ClassVar[str] = "concat"
    role: ClassVar[Role] = "reduce"
    params: ClassVar[tuple[Param, ...]] = (
        Param("axis", "int", "the axis along which they are joined; default: 0", False),
        Param("sizes", "ints", "the size of each array along the axis; default: any", False),
        Param("parts", "int", "the number of arrays, which have one size along the axis; default: any", False),
    )
    shorthand: ClassVar[str | None] = "axis"
    recuts: ClassVar[bool] = True
    prominence: ClassVar[int] = 2

    axis: int = 0
    sizes: tuple[int, ...] | None = field(default=None, repr=False)  # the arrays have them; a plan stays the same
    parts: int | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.parts is not None and self.parts < 1:
            raise OpError(f"{self.parts} parts cannot be joined; `parts` is the number of arrays")
        if self.parts is not None and self.sizes is not None:
            raise OpError("`parts` is for arrays of one size, and `sizes` for arrays of several; omit one of them")

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        return opened(shape, self.axis)

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        if not inputs:
            raise OpError("there is no array to join")
        first = inputs[0]
        axis = normalize_axis(self.axis, len(first.shape))
        for other in inputs[1:]:
            _check_alike(first, other, axis)
        found = tuple(array.shape[axis] for array in inputs)
        if self.sizes is not None and found != self.sizes:
            raise OpError(f"the arrays have the sizes {list(found)} along axis {axis}, not {list(self.sizes)}")
        if self.parts is not None and (len(found) != self.parts or len(set(found)) != 1):
            raise OpError(f"the arrays have the sizes {list(found)} along axis {axis}, not {self.parts} equal ones")
        total = sum(found)
        return (AbstractArray((*first.shape[:axis], total, *first.shape[axis + 1 :]), first.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        import numpy as np

        return (np.concatenate(arrays, axis=self.axis),)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del output
        axis = normalize_axis(self.axis, len(window))
        ends = accumulate(array.shape[axis] for array in inputs)
        needs = []
        for number, (array, end) in enumerate(zip(inputs, ends, strict=True)):
            begin = end - array.shape[axis]
            start, stop = max(window[axis][0], begin), min(window[axis][1], end)
            if start < stop:
                needs.append((number, with_range(window, axis, (start - begin, stop - begin))))
        return Pull(tuple(needs), lambda parts: self.apply(*parts)[0] if len(parts) > 1 else parts[0])

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        whole = joined(inputs, normalize_axis(self.axis, len(inputs[0].shape)))
        return None if whole is None else (whole,)

    def does_nothing(self, *inputs: AbstractArray) -> bool:
        return len(inputs) == 1

    def preimage(self, *results: AbstractArray) -> tuple[AbstractArray, ...] | NotInvertible:
        if self.sizes is not None:
            return Split(self.axis, self.sizes).infer(*results)
        if self.parts is not None:
            return Split(self.axis).bind(results, None, self.parts).infer(*results)
        return NotInvertible(
            "`concat` without `sizes` does not determine the arrays before it; add `sizes: [the size of each]`, or "
            "`parts: the number of arrays` if they are of one size"
        )

    def inverse(self, *inputs: AbstractArray) -> Split:
        axis = normalize_axis(self.axis, len(inputs[0].shape))
        return Split(axis, tuple(array.shape[axis] for array in inputs))


def _check_alike(first: AbstractArray, other: AbstractArray, axis: int) -> None:
    if first.dtype != other.dtype:
        raise OpError(f"{first} and {other} have different dtypes; `cast` one of them first")
    alike = len(first.shape) == len(other.shape) and all(
        a == b for dim, (a, b) in enumerate(zip(first.shape, other.shape, strict=True)) if dim != axis
    )
    if not alike:
        raise OpError(f"{first} and {other} differ in more than axis {axis}")


@final
@dataclass(frozen=True)
class Split(Op):
    """Divides `axis` into parts of the given sizes (default: as many equal parts as the rule has targets)."""

    name: ClassVar[str] = "split"
    role: ClassVar[Role] = "extend"
    params: ClassVar[tuple[Param, ...]] = (
        Param("axis", "int", "the axis that is divided; default: 0", False),
        Param("sizes", "ints", "the size of each part along the axis; default: equal parts", False),
    )
    shorthand: ClassVar[str | None] = "axis"
    recuts: ClassVar[bool] = True
    prominence: ClassVar[int] = 1

    axis: int = 0
    sizes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.sizes is not None and (not self.sizes or min(self.sizes) < 0):
            raise OpError(f"sizes {list(self.sizes)} must be one or more numbers, none of them negative")

    def bind(self, inputs: Sequence[AbstractArray], target: AbstractArray | None, count: int | None) -> Split:
        del target
        if count is None:
            return self
        if self.sizes is not None:
            if len(self.sizes) != count:
                raise OpError(f"sizes {list(self.sizes)} make {len(self.sizes)} parts, but the rule expects {count}")
            return self
        (array,) = inputs
        return replace(self, sizes=_equal_parts(array, normalize_axis(self.axis, len(array.shape)), count))

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        return opened(shape, self.axis)

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        axis = normalize_axis(self.axis, len(array.shape))
        if self.sizes is None:
            raise OpError("nothing says into how many parts; give `sizes`, or a target for each part")
        if sum(self.sizes) != array.shape[axis]:
            total = f"sizes {list(self.sizes)} add up to {sum(self.sizes)}"
            raise OpError(f"{total}, but axis {axis} of {array} has size {array.shape[axis]}")
        before, after = array.shape[:axis], array.shape[axis + 1 :]
        return tuple(AbstractArray((*before, size, *after), array.dtype) for size in self.sizes)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        (array,) = arrays
        sizes = self.sizes or ()
        lead = (slice(None),) * normalize_axis(self.axis, array.ndim)
        return tuple(array[(*lead, slice(end - size, end))] for size, end in zip(sizes, accumulate(sizes), strict=True))

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del inputs
        axis = normalize_axis(self.axis, len(window))
        before = sum((self.sizes or ())[:output])
        start, stop = window[axis]
        return as_stored(with_range(window, axis, (before + start, before + stop)))

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        (array,) = inputs
        ends = list(accumulate(self.sizes or ()))
        axis = normalize_axis(self.axis, len(array.shape))
        parts = [array.cut(axis, end - size, end) for size, end in zip(self.sizes or (), ends, strict=True)]
        known = tuple(part for part in parts if part is not None)
        return known if len(known) == len(parts) else None

    def preimage(self, *results: AbstractArray) -> tuple[AbstractArray, ...]:
        return Concat(self.axis).infer(*results)

    def inverse(self, *inputs: AbstractArray) -> Concat:
        (array,) = inputs
        return Concat(normalize_axis(self.axis, len(array.shape)))

    def spellings(self, inputs: Sequence[AbstractArray], inverts: Op) -> Iterator[Op]:
        for op in (replace(self, sizes=None), self):
            yield from Op.spellings(op, inputs, inverts)


def _equal_parts(array: AbstractArray, axis: int, count: int) -> tuple[int, ...]:
    size = array.shape[axis]
    if count < 1 or size % count:
        raise OpError(
            f"axis {axis} of {array} has size {size} and cannot be cut into {count} equal parts; give `sizes`"
        )
    return (size // count,) * count
