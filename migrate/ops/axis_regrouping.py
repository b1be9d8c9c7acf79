"""How the axes of one shape become those of another: split, merged, or neither."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, islice
from string import ascii_lowercase

from migrate.ops.base import wide

Block = tuple[tuple[int, ...], tuple[int, ...]]
"""Adjacent sizes before and after that have the same product, as few as possible."""

Axes = tuple[int, ...]
"""Positions of axes."""

Match = list[tuple[Axes, Axes]]
"""Axes before and the axes that they become; each pair has one axis on one of its sides."""

_MOST_AXES = 6
"""The most axes of a shape for which patterns are looked for; their number grows with its factorial."""


def blocks(before: Sequence[int], after: Sequence[int]) -> list[Block]:
    """Returns the blocks into which a reshape divides two shapes of one number of elements, without axes of size one.

    A block with one size before is a split axis, one with one size after a merged axis, and one with one of each an
    axis that is kept.
    """
    if math.prod(before) != math.prod(after) or 0 in before:
        return []
    found: list[Block] = []
    left, right = list(wide(before)), list(wide(after))
    while left:
        old, new = [left.pop(0)], [right.pop(0)]
        while math.prod(old) != math.prod(new):
            side, rest = (old, left) if math.prod(old) < math.prod(new) else (new, right)
            side.append(rest.pop(0))
        found.append((tuple(old), tuple(new)))
    return found


def cuts_across(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether a reshape does more than split single axes and merge adjacent ones, so that elements change axes."""
    return any(len(old) > 1 and len(new) > 1 for old, new in blocks(before, after))


def patterns(before: Sequence[int], after: Sequence[int], most: int) -> list[str]:
    """Returns patterns of `rearrange` that lead from one shape to the other by splits and merges of whole axes.

    Args:
      before: the shape of the array.
      after: the shape of the result.
      most: the most patterns.
    """
    if max(len(before), len(after)) > _MOST_AXES or 0 in (*before, *after):
        return []
    return [_pattern(before, after, match) for match in islice(_matches(before, after), most)]


def _matches(before: Sequence[int], after: Sequence[int]) -> Iterator[Match]:
    """Yields the ways to match the axes of both shapes, apart from those of size one."""
    left, right = (tuple(axis for axis, size in enumerate(shape) if size != 1) for shape in (before, after))
    yield from _matched(left, right, before, after)


def _matched(left: Axes, right: Axes, before: Sequence[int], after: Sequence[int]) -> Iterator[Match]:
    """Yields the matches of the remaining axes of both sides."""
    if not left and not right:
        yield []
    if not left or not right:
        return
    split = [(left[:1], part) for part in _subsets(right)]
    merged = [((left[0], *part), (axis,)) for part in _subsets(left[1:]) for axis in right]
    for old, new in (*split, *merged):
        if math.prod(before[axis] for axis in old) == math.prod(after[axis] for axis in new):
            rest = tuple(axis for axis in left if axis not in old), tuple(axis for axis in right if axis not in new)
            yield from ([(old, new), *more] for more in _matched(*rest, before, after))


def _subsets(axes: Axes) -> list[Axes]:
    return [part for count in range(1, len(axes) + 1) for part in combinations(axes, count)]


def _pattern(before: Sequence[int], after: Sequence[int], match: Match) -> str:
    """Returns the pattern of a match; the axes get letters in the order of the left side."""
    left: dict[int, list[str]] = {}
    right: dict[int, list[str]] = {}
    for old, new in match:
        factors = [f"{old}{new}{at}" for at in range(max(len(old), len(new)))]
        for axes, groups in ((old, left), (new, right)):
            for axis, factor in zip(axes, factors, strict=False):
                groups[axis] = factors if len(axes) == 1 else [factor]
    ordered = [factor for axis in sorted(left) for factor in left[axis]]
    letters = dict(zip(ordered, ascii_lowercase, strict=False))
    return f"{_side(len(before), left, letters)} -> {_side(len(after), right, letters)}"


def _side(rank: int, groups: Mapping[int, Sequence[str]], letters: Mapping[str, str]) -> str:
    words = [[letters[factor] for factor in groups.get(axis, ())] for axis in range(rank)]
    return " ".join("1" if not word else word[0] if len(word) == 1 else f"({' '.join(word)})" for word in words)
