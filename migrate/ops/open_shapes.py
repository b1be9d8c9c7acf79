"""Shapes of which some sizes are unknown, as a template determines them before the last op of a list.

`Op.shape_before` leads such a shape from the result of an op to its input, and `rearrange` takes the sizes that it
omits from one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

OpenShape = tuple[int | None, ...]
"""The size of each axis; None where it is unknown."""

Equation = tuple[Sequence[str], int | None]
"""Named factors, and their product as far as it is known."""


def solved(equations: Sequence[Equation], known: Mapping[str, int]) -> dict[str, int]:
    """Returns the sizes of all names that the products determine, the known ones included."""
    sizes = dict(known)
    progress = True
    while progress:
        before = len(sizes)
        for names, product in equations:
            unknown = [name for name in names if name not in sizes]
            divisor = math.prod(sizes[name] for name in names if name in sizes)
            if product is not None and len(unknown) == 1 and divisor and product % divisor == 0:
                sizes[unknown[0]] = product // divisor
        progress = len(sizes) > before
    return sizes


def product_of(names: Iterable[str], sizes: Mapping[str, int]) -> int | None:
    """Returns the product of the sizes of these names; None if one is unknown."""
    factors = [sizes.get(name) for name in names]
    return None if None in factors else math.prod(factor for factor in factors if factor is not None)


def without(shape: OpenShape, axis: int) -> OpenShape | None:
    """Returns the shape without one axis; None if it has no such axis."""
    if not -len(shape) <= axis < len(shape):
        return None
    axis %= len(shape)
    return (*shape[:axis], *shape[axis + 1 :])


def inserted(shape: OpenShape, axis: int, size: int | None) -> OpenShape | None:
    """Returns the shape with a new axis of this size; None if it cannot have one there."""
    if not -len(shape) - 1 <= axis <= len(shape):
        return None
    axis %= len(shape) + 1
    return (*shape[:axis], size, *shape[axis:])


def opened(shape: OpenShape, axis: int) -> OpenShape | None:
    """Returns the shape with the size of one axis unknown; None if it has no such axis."""
    rest = without(shape, axis)
    return None if rest is None else inserted(rest, axis % len(shape), None)
