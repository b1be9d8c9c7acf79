"""Finds the ops that lead from the arrays of known layers to those of others, by the order of their axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from migrate.knowledge.meanings import BIASES, STORED_AS_JAX_DOES, WEIGHTS, plain
from migrate.planning.suggest.axes import fits, groups, position, rearranged, sizes_of, without
from migrate.planning.suggest.columns import Column
from migrate.planning.suggest.values import OpText, Shape

_PART = "p"
"""The axis of the parts of a fusion."""

_EXPERT = "e"
"""The axis of experts."""

_LAYER = "l"
"""The axis of blocks, where both sides stack them."""


@dataclass(frozen=True, slots=True)
class AxisConversion:
    """Ops that lead from known axes to others, on the arrays of one block and expert.

    Attributes:
      source, target: the axes.
      ops: the ops.
      join: the op that joins the parts of a fusion, or takes them apart; empty for none.
      sizes: the sizes of the axes.
      after_stack: the ops after a stack of the parts along the last axis; empty for none.
      rests_on_names: whether the shapes would fit in the other order of axes, too.
    """

    source: str
    target: str
    ops: tuple[OpText, ...]
    join: tuple[OpText, ...]
    sizes: dict[str, int]
    rests_on_names: bool = False
    after_stack: tuple[OpText, ...] = ()


@dataclass(frozen=True, slots=True)
class Orientation:
    """How matrices are stored where names do not show it.

    Attributes:
      torch: whether matrices with PyTorch's names are [out, in], as PyTorch has them.
      turned: whether the matrices of GPT-2's layers are [out, in], in the source and in the target.
    """

    torch: bool = True
    turned: tuple[bool, bool] = (False, False)


def conversion(
    sources: Sequence[tuple[Column, Shape]], targets: Sequence[tuple[Column, Shape]], orientation: Orientation
) -> AxisConversion | None:
    """Returns the conversion of columns with the shapes of their arrays, without axes of blocks and experts; or None.

    Args:
      sources: one column, or the parts of a fusion.
      targets: one column, or the parts of a fusion.
      orientation: how matrices are stored.
    """
    (mine, shape), (theirs, wanted) = sources[0], targets[0]
    left = _forms(mine, torch=orientation.torch, turned=orientation.turned[0])
    right = _forms(theirs, torch=True, turned=orientation.turned[1])
    if len(sources) > 1:
        return next(_joined(sources, left, wanted, right), None)
    if len(targets) > 1:
        return next(_parted(shape, left, targets, right), None)
    ways = [(one, other) for one, other in _pairs(left, right) if fits(one, shape, other, wanted)]
    if not ways:
        return None
    one, other = ways[0]
    doubtful = any(rearranged(*way) != rearranged(one, other) for way in ways[1:])
    return AxisConversion(one, other, rearranged(one, other), (), sizes_of(one, shape, other, wanted) or {}, doubtful)


def _pairs(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield from ((one, other) for one in left for other in right)
    yield from ((f"{_EXPERT} {one}", f"{_EXPERT} {other}") for one in left for other in right)


def _forms(column: Column, *, torch: bool, turned: bool) -> tuple[str, ...]:
    """Returns the orders of axes that an array may have."""
    if column.array == "bias":
        return BIASES[column.named.axes]
    out_first, in_first = WEIGHTS[column.named.axes]
    if plain(column.names[-1]) in STORED_AS_JAX_DOES:
        return out_first if turned else in_first
    return out_first if column.torch and torch else in_first


def _joined(
    sources: Sequence[tuple[Column, Shape]], left: Sequence[str], wanted: Shape, right: Sequence[str]
) -> Iterator[AxisConversion]:
    """Yields the conversions of parts that are stacked or concatenated."""
    shapes = [shape for _, shape in sources]
    for whole, part in ((whole, part) for part in left for whole in right if any(_PART in g for g in groups(whole))):
        at, alone = position(whole, _PART)
        rest = without(whole, _PART)
        if alone:
            inner = (*wanted[:at], *wanted[at + 1 :])
            if wanted[at : at + 1] == (len(shapes),) and all(fits(part, shape, rest, inner) for shape in shapes):
                sizes = sizes_of(part, shapes[0], rest, inner) or {}
                join, last = (f"stack: {{axis: {at}}}",), rearranged(f"{part} {_PART}", whole)
                yield AxisConversion(part, rest, rearranged(part, rest), join, sizes, after_stack=last)
        elif _add_up(shapes, part, rest, wanted, at):
            yield AxisConversion(part, rest, rearranged(part, rest), (f"concat: {{axis: {at}}}",), {})


def _add_up(shapes: Sequence[Shape], part: str, rest: str, wanted: Shape, at: int) -> bool:
    """Whether parts, each in the order of axes of the whole, add up to the whole along one axis."""
    made = [_shape(part, shape, rest) for shape in shapes]
    if any(one is None or len(one) != len(wanted) for one in made):
        return False
    known = [one for one in made if one is not None]
    others = {(*one[:at], *one[at + 1 :]) for one in known}
    return others == {(*wanted[:at], *wanted[at + 1 :])} and sum(one[at] for one in known) == wanted[at]


def _shape(source: str, shape: Shape, target: str) -> Shape | None:
    """Returns the shape in another order or grouping of the same axes, or None if they are not the same."""
    made = [_size(source, shape, names) for names in groups(target)]
    return None if None in made else tuple(size for size in made if size is not None)


def _parted(
    shape: Shape, left: Sequence[str], targets: Sequence[tuple[Column, Shape]], right: Sequence[str]
) -> Iterator[AxisConversion]:
    """Yields the conversions of a fusion that is taken apart."""
    wanted = [one for _, one in targets]
    for whole, part in ((whole, part) for whole in left for part in right if any(_PART in g for g in groups(whole))):
        if len(groups(whole)) != len(shape):
            continue
        at, alone = position(whole, _PART)
        rest = without(whole, _PART)
        if alone:
            inner = (*shape[:at], *shape[at + 1 :])
            if shape[at] == len(wanted) and all(fits(rest, inner, part, one) for one in wanted):
                sizes = sizes_of(rest, inner, part, wanted[0]) or {}
                yield AxisConversion(rest, part, rearranged(rest, part), (f"unstack: {{axis: {at}}}",), sizes)
            continue
        cut = [_size(part, one, groups(rest)[at]) for one in wanted]
        if None not in cut and sum(filter(None, cut)) == shape[at]:
            parts = [(*shape[:at], size or 0, *shape[at + 1 :]) for size in cut]
            if all(fits(rest, one, part, other) for one, other in zip(parts, wanted, strict=True)):
                listed = ", ".join(map(str, cut))
                split = f"split: {{axis: {at}, sizes: [{listed}]}}"
                yield AxisConversion(rest, part, rearranged(rest, part), (split,), {})


def _size(axes: str, shape: Shape, names: tuple[str, ...]) -> int | None:
    """Returns the size of the axis that merges these names, or None if the shape does not have them."""
    sizes = sizes_of(axes, shape, axes, shape)
    if sizes is None:
        return None
    joined = sizes.get(" ".join(names))
    if joined is not None:
        return joined
    product = 1
    for name in names:
        if name not in sizes:
            return None
        product *= sizes[name]
    return product


def stacked_both(source: str, mine: int, target: str, theirs: int) -> tuple[OpText, ...]:
    """Returns the ops where both sides have an axis of blocks, at these positions."""
    one, other = _with(source, mine), _with(target, theirs)
    return rearranged(one, other)


def _with(axes: str, at: int) -> str:
    parts = [" ".join(group) if len(group) == 1 else f"({' '.join(group)})" for group in groups(axes)]
    return " ".join((*parts[:at], _LAYER, *parts[at:]))


def turned_layers(columns: Sequence[Column]) -> bool:
    """Whether GPT-2's layers are [out, in]: matrices that widen, such as `c_attn`, show it."""
    shapes = [
        column.shape
        for column in columns
        if column.array == "weight"
        and column.named.meaning in ("query, key, value", "up")
        and plain(column.names[-1]) in STORED_AS_JAX_DOES
        and len(column.shape) == 2
    ]
    return any(shape[0] > shape[1] for shape in shapes)
