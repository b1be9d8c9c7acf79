"""Converts an array's shape to another without changing a value, by ops in rule-file syntax.

Axes are counted from the end, so that the same ops apply to arrays with a leading stack axis (`lead`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from migrate.planning.suggest.values import OpText, Shape

_LETTERS = "abcdefghijklmnop"


@dataclass(frozen=True, slots=True)
class Conversion:
    """Ops that convert one shape to another.

    Attributes:
      ops: the ops in rule-file syntax.
      cost: how unlikely the conversion is to be intended; 0 for the same shape.
      open: why other ops would also fit; empty when none do.
    """

    ops: tuple[OpText, ...] = ()
    cost: float = 0.0
    open: str = ""


SAME = Conversion()


def convert(source: Shape, target: Shape, *, lead: bool = False) -> Conversion | None:
    """Returns the simplest conversion of one shape to the other, or None.

    Args:
      source: the source's shape.
      target: the target's shape.
      lead: whether the ops run over arrays with one more leading axis.
    """
    if source == target:
        return SAME
    if math.prod(source) != math.prod(target):
        return None
    return (
        _ones(source, target, lead=lead) or _regrouped(source, target, lead=lead) or _turned(source, target, lead=lead)
    )


def _ones(source: Shape, target: Shape, *, lead: bool) -> Conversion | None:
    """Converts by adding or removing one axis of size 1."""
    if len(source) == len(target) + 1:
        return _one(source, target, "squeeze", lead=lead)
    if len(target) == len(source) + 1:
        return _one(target, source, "expand_dims", lead=lead)
    return None


def _one(longer: Shape, shorter: Shape, op: str, *, lead: bool) -> Conversion | None:
    """Returns the op for the axis of size 1 that only the longer shape has."""
    for axis, size in enumerate(longer):
        if size == 1 and (*longer[:axis], *longer[axis + 1 :]) == shorter:
            return Conversion((f"{op}: {{axis: {axis - len(longer) if lead else axis}}}",), 0.02)
    return None


def _regrouped(source: Shape, target: Shape, *, lead: bool) -> Conversion | None:
    """Converts by merging adjacent axes, or by splitting one axis into adjacent ones."""
    if len(source) > len(target):
        groups = _grouping(source, target)
        if groups is None:
            return None
        left, right = " ".join(_LETTERS[: len(source)]), _grouped(groups)
        return Conversion((_rearrange(left, right, lead=lead),), 0.05)
    groups = _grouping(target, source)
    if groups is None:
        return None
    left, right = _grouped(groups), " ".join(_LETTERS[: len(target)])
    sizes = {_LETTERS[axis]: target[axis] for group in groups if len(group) > 1 for axis in group[1:]}
    return Conversion((_rearrange(left, right, lead=lead, sizes=sizes),), 0.05)


def _grouping(fine: Shape, coarse: Shape) -> list[list[int]] | None:
    """Returns the axes of `fine` whose sizes multiply to each axis of `coarse`, in order."""
    groups: list[list[int]] = []
    at = 0
    for size in coarse:
        group: list[int] = []
        made = 1
        while at < len(fine) and (not group or made < size):
            group.append(at)
            made *= fine[at]
            at += 1
        if made != size or not group:
            return None
        groups.append(group)
    return groups if at == len(fine) else None


def _grouped(groups: Sequence[Sequence[int]]) -> str:
    names = (" ".join(_LETTERS[axis] for axis in group) for group in groups)
    return " ".join(f"({name})" if " " in name else name for name in names)


def _rearrange(left: str, right: str, *, lead: bool, sizes: dict[str, int] | None = None) -> OpText:
    dots = "... " if lead else ""
    pattern = f'"{dots}{left} -> {dots}{right}"'
    if not sizes:
        return f"rearrange: {pattern}"
    given = ", ".join(f"{name}: {size}" for name, size in sizes.items())
    return f"rearrange: {{pattern: {pattern}, sizes: {{{given}}}}}"


def _turned(source: Shape, target: Shape, *, lead: bool) -> Conversion | None:
    if len(source) != 2 or source != target[::-1]:
        return None
    return Conversion((transposed(lead=lead),), 0.4, "only a transpose makes the shapes fit")


def transposed(*, lead: bool) -> OpText:
    """Returns the op that transposes a matrix."""
    return _rearrange("a b", "b a", lead=lead)


def kept_matrix(*, lead: bool) -> OpText:
    """Returns the op that leaves a matrix unchanged, as an alternative to one that transposes it."""
    return _rearrange("a b", "a b", lead=lead)


def may_be_turned(source: Shape, target: Shape) -> bool:
    """Whether a transpose would not change the shape."""
    return source == target and len(source) == 2 and source[0] == source[1] > 1
