"""`rearrange`: reshape and transpose in one, in the notation of einops, which names axes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate.codes import UndeterminedAxes
from migrate.ops.axis_pattern import ELLIPSIS, Axes, Group, parse
from migrate.ops.base import NotInvertible, Op, OpError, Param, avals, wide
from migrate.ops.chunk_grid import ChunkGrid, keeps_order
from migrate.ops.open_shapes import OpenShape, product_of, solved
from migrate.ops.reshape import Reshape
from migrate.ops.transpose import Transpose
from migrate.ops.windows import Pull, Window, chained
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np

_MOST_SPELLINGS = 32
"""The most choices of omitted sizes that `spellings` tries; every further axis that is split multiplies them."""

_MOST_CHOICES = 12
"""The most sizes that a help lists."""


@final
@dataclass(frozen=True)
class Rearrange(Op):
    """Reorders, merges and splits axes, as `einops.rearrange` does.

    `sizes` gives the sizes that the shapes leave open: in `(h k) d -> h k d` that of `h` or of `k`, unless the shape of
    the template's leaf determines them.
    """

    name: ClassVar[str] = "rearrange"
    params: ClassVar[tuple[Param, ...]] = (
        Param("pattern", "str", "the names of the axes before and after, such as `d h k -> d (h k)`"),
        Param(
            "sizes",
            "sizes",
            "the sizes of axes that are merged on the left, such as `{h: 12}`; default: the template's",
            False,
        ),
    )
    shorthand: ClassVar[str | None] = "pattern"

    pattern: str
    sizes: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        names = {name for group in parse(self.pattern).left for name in group or ()}
        for name, size in self.sizes:
            if name not in names:
                raise OpError(f"`sizes` names `{name}`, which is not on the left of `{self.pattern}`")
            if size < 0:
                raise OpError(f"the size {size} of `{name}` is negative")

    @property
    def omits_sizes(self) -> bool:
        return bool(self._open(parse(self.pattern).left))

    def fit(self, inputs: Sequence[AbstractArray], shape: OpenShape | None, target: AbstractArray) -> Rearrange:
        (array,) = inputs
        given, axes = dict(self.sizes), self._axes(array)
        split = self._open(axes.left)
        sides = [*zip(axes.left, array.shape, strict=True)]
        if shape is not None and len(shape) != len(axes.right):
            raise self._unfit(target, f"it makes {len(axes.right)} axes, not {len(shape)}")
        known = solved([*sides, *zip(axes.right, shape or (), strict=False)], given)
        for axis, (group, size) in enumerate(sides):
            product = product_of(group, known)
            if product is None:
                raise self._undetermined(target, [name for name in group if name not in known], size)
            if group in split and product != size:
                factors = " × ".join(str(known[name]) for name in group)
                why = f"axis {axis} has size {size}, and `{' '.join(group)}` would be {factors} = {product}"
                raise self._unfit(target, why)
        names = [name for group in axes.left for name in group if name in given or group in split]
        return replace(self, sizes=tuple((name, known[name]) for name in names))

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        pattern = parse(self.pattern)
        rest = len(shape) - sum(group is not None for group in pattern.right)
        if any(group and ELLIPSIS in group for group in pattern.right) or rest < 0:
            return None
        axes = pattern.expand(rest)
        if len(axes.right) != len(shape):
            return None
        known = solved([*zip(axes.right, shape, strict=True)], dict(self.sizes))
        return tuple(product_of(group, known) for group in axes.left)

    def unseen_order(self, *inputs: AbstractArray) -> str:
        axes, lengths = self._read(*inputs)
        found = []
        for group in (*axes.left, *axes.right):
            names = [name for name in group if lengths[name] != 1]
            if len(names) > 1:
                found.append(f"({' '.join(names)}) = {' × '.join(str(lengths[name]) for name in names)}")
        return ", ".join(dict.fromkeys(found))

    def keeps_axes(self, *inputs: AbstractArray) -> bool:
        axes, lengths = self._read(*inputs)
        return all(len(wide([lengths[name] for name in group])) <= 1 for group in (*axes.left, *axes.right))

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        axes, lengths = self._read(array)
        return (AbstractArray(_shape(axes.right, lengths), array.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        (array,) = arrays
        for op in self.simple_ops(*avals(array)):
            (array,) = op.apply(array)
        return (array,)

    def simple_ops(self, *inputs: AbstractArray) -> tuple[Reshape, Transpose, Reshape]:
        axes, lengths = self._read(*inputs)
        divided, merged = Reshape(tuple(lengths.values())), Reshape(_shape(axes.right, lengths))
        return divided, Transpose(_order(axes, lengths)), merged

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        divided, transposed, merged = self.simple_ops(*inputs)
        before = divided.infer(*inputs)
        pull = merged.window(transposed.infer(*before), output, window)
        pull = chained(pull, [transposed.window(before, 0, part) for _, part in pull.needs])
        return chained(pull, [divided.window(inputs, 0, part) for _, part in pull.needs])

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        (array,) = inputs
        axes, lengths = self._read(AbstractArray(array.shape, "bool"))
        if not keeps_order(_order(axes, lengths), tuple(lengths.values())):
            return None
        reshaped = array.reshaped(_shape(axes.right, lengths))
        return None if reshaped is None else (reshaped,)

    def preimage(self, *results: AbstractArray) -> tuple[AbstractArray, ...] | NotInvertible:
        (array,) = results
        (pattern,) = _exchanged(self)
        try:
            names = {name for group in parse(pattern).left for name in group or ()}
            known = tuple((name, size) for name, size in self.sizes if name in names)
            return Rearrange(pattern, known).infer(array)
        except OpError as error:
            return NotInvertible(f"`rearrange` cannot be reversed: {error}")

    def inverse(self, *inputs: AbstractArray) -> Rearrange:
        axes, lengths = self._read(*inputs)
        merged = [name for group in axes.right if len(group) > 1 for name in group]
        return Rearrange(str(axes.reversed()), tuple((name, lengths[name]) for name in merged))

    def spellings(self, inputs: Sequence[AbstractArray], inverts: Op) -> Iterator[Rearrange]:
        del inputs
        for pattern in dict.fromkeys((*_exchanged(inverts), self.pattern)):
            try:
                split = [group for group in parse(pattern).left if group is not None and len(group) > 1]
            except OpError:  # `...` in parentheses is not allowed on the left
                continue
            for sizes in _sufficient_sizes(split, dict(self.sizes)):
                yield Rearrange(pattern, sizes)

    def _read(self, array: AbstractArray) -> tuple[Axes, Mapping[str, int]]:
        """The pattern for this array and the size of every named axis, in the order of the left side."""
        axes = self._axes(array)
        lengths: dict[str, int] = {}
        for axis, group in enumerate(axes.left):
            lengths |= self._lengths(group, array, axis)
        return axes, lengths

    def _axes(self, array: AbstractArray) -> Axes:
        """The pattern for this array."""
        pattern = parse(self.pattern)
        rest = len(array.shape) - sum(group is not None for group in pattern.left)
        if rest < 0 or (rest > 0 and None not in pattern.left):
            raise OpError(f"`{self.pattern}` does not name the {len(array.shape)} axes of {array}")
        return pattern.expand(rest)

    def _open(self, groups: Iterable[Group | None]) -> list[Group]:
        """The groups of which `sizes` omits more than one name."""
        given = {name for name, _ in self.sizes}
        return [group for group in groups if group and len({*group} - given) > 1]

    def _undetermined(self, target: AbstractArray, names: Sequence[str], size: int) -> OpError:
        """The error for names of one axis whose sizes neither shape determines."""
        open_names = " and ".join(f"`{name}`" for name in names)
        message = f"the template's {target} leaves the sizes of {open_names} in `{self.pattern}` open"
        choices = [str(factor) for factor in range(2, size) if size % factor == 0] or [str(size)]
        few = ", ".join(choices[:_MOST_CHOICES]) + (", …" if len(choices) > _MOST_CHOICES else "")
        written = ", ".join(f"{name}: {known}" for name, known in (*self.sizes, (names[0], choices[0])))
        advice = f'`rearrange: {{pattern: "{self.pattern}", sizes: {{{written}}}}}`'
        return OpError(message, f"write {advice} with the size of `{names[0]}`, one of {few}", UndeterminedAxes)

    def _unfit(self, target: AbstractArray, why: str) -> OpError:
        """The error for an array from which the pattern does not lead to the template's leaf."""
        message = f"`{self.pattern}` does not lead to the template's {target}: {why}"
        return OpError(message, "write a pattern whose sides name the axes of both shapes", UndeterminedAxes)

    def _lengths(self, group: Group, array: AbstractArray, axis: int) -> Mapping[str, int]:
        """The size of each named axis in `axis`."""
        size = array.shape[axis]
        given = dict(self.sizes)
        unknown = [name for name in group if name not in given]
        known = math.prod(given[name] for name in group if name in given)
        if len(unknown) > 1:
            names = " or ".join(f"`{name}`" for name in unknown)
            raise OpError(f"`{self.pattern}` splits axis {axis} of {array}; `sizes` must give {names}")
        if (known == 0 or size % known) if unknown else size != known:
            why = f"{known} does not divide it" if unknown else f"it makes {known}"
            raise OpError(f"axis {axis} of {array} has size {size}, which `{' '.join(group) or 1}` cannot make: {why}")
        return {name: given[name] if name in given else size // known for name in group}


def _shape(groups: tuple[Group, ...], lengths: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(math.prod(lengths[name] for name in group) for group in groups)


def _order(axes: Axes, lengths: Mapping[str, int]) -> tuple[int, ...]:
    """For each named axis on the right, its position on the left."""
    names = list(lengths)
    return tuple(names.index(name) for group in axes.right for name in group)


def _exchanged(op: Op) -> tuple[str, ...]:
    """The pattern of a `rearrange` with its sides exchanged, which keeps the names of its author."""
    if not isinstance(op, Rearrange):
        return ()
    left, _, right = op.pattern.partition("->")
    return (f"{right.strip()} -> {left.strip()}",)


def _sufficient_sizes(split: Sequence[Group], lengths: Mapping[str, int]) -> Iterator[tuple[tuple[str, int], ...]]:
    """Sizes of the axes that are split: for each axis all names but one, which the array determines; then all names."""
    names = [name for group in split for name in group]
    if any(name not in lengths for name in names):
        return
    for omitted in islice(product(*split), _MOST_SPELLINGS):
        yield tuple((name, lengths[name]) for name in names if name not in omitted)
    yield tuple((name, lengths[name]) for name in names)
