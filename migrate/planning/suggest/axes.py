"""Compares shapes with named axes, and writes the op that leads from one order of axes to another."""

from __future__ import annotations

import math
from functools import lru_cache

from migrate.planning.suggest.values import OpText, Shape

Groups = tuple[tuple[str, ...], ...]


@lru_cache(maxsize=1 << 10)
def groups(axes: str) -> Groups:
    """Returns the names of each axis: `(n h) d` has an axis of two names, and one of one name."""
    found: list[tuple[str, ...]] = []
    for part in axes.replace("(", " ( ").replace(")", " ) ").split():
        if part == "(":
            found.append(("(",))
        elif found and found[-1][:1] == ("(",) and part != ")":
            found[-1] = (*found[-1], part)
        elif part == ")":
            found[-1] = found[-1][1:]
        else:
            found.append((part,))
    return tuple(found)


def sizes_of(source: str, shape: Shape, target: str, wanted: Shape) -> dict[str, int] | None:
    """Returns the size of each named axis, or None if two shapes do not have these axes."""
    pairs = [*zip(groups(source), shape, strict=False), *zip(groups(target), wanted, strict=False)]
    if len(groups(source)) != len(shape) or len(groups(target)) != len(wanted):
        return None
    sizes: dict[str, int] = {"1": 1}
    for names, size in sorted(pairs, key=lambda pair: len(pair[0])):
        left = [name for name in names if name not in sizes]
        known = math.prod(sizes[name] for name in names if name in sizes)
        if not known or size % known or (not left and size != known):
            return None
        if len(left) == 1:
            sizes[left[0]] = size // known
        elif left and sizes.setdefault(" ".join(left), size // known) != size // known:
            return None
    return sizes


def fits(source: str, shape: Shape, target: str, wanted: Shape) -> bool:
    """Whether one shape with these axes can become the other."""
    sizes = sizes_of(source, shape, target, wanted)
    if sizes is None:
        return False
    kept = {group for group in groups(source) if group in groups(target)}
    changed = [group for side in (source, target) for group in groups(side) if group not in kept]
    return all(name in sizes for group in changed for name in group)


def rearranged(source: str, target: str) -> tuple[OpText, ...]:
    """Returns the ops that lead from one order of axes to the other."""
    mine, theirs = groups(source), groups(target)
    if mine == theirs:
        return ()
    if sorted(mine) == sorted(theirs):
        order = ", ".join(str(mine.index(group)) for group in theirs)
        return (f"transpose: [{order}]",)
    return (f'rearrange: "{source} -> {target}"',)


def without(axes: str, name: str) -> str:
    """Returns axes without one name."""
    rest = [" ".join(one for one in group if one != name) for group in groups(axes) if group != (name,)]
    return " ".join(f"({group})" if " " in group else group for group in rest)


def position(axes: str, name: str) -> tuple[int, bool]:
    """Returns the axis that has a name, and whether the name is that of the whole axis."""
    parts = groups(axes)
    at = next(index for index, group in enumerate(parts) if name in group)
    return at, parts[at] == (name,)
