"""The elements that the devices of a mesh decode of a chunked array, beside those that they keep.

A chunk is decoded whole, padding at the end of the array included. So a device whose part of the array does not follow
the chunks decodes more than it keeps: its read amplification is the one divided by the other.

Dimensions are independent: what a device decodes is the product of what it decodes along each of them. Along a
dimension, each of N parts has ⌈size / N⌉ elements, as in JAX; the last parts of an uneven division are shorter or
empty.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from migrate.tree import Sharding

Parts = tuple[int, ...]
"""The number of parts of each dimension of an array."""


@dataclass(frozen=True, slots=True)
class AxisPart:
    """A part of one dimension: its elements, and the elements of the chunks that it touches."""

    kept: int
    decoded: int


@dataclass(frozen=True)
class ShardReads:
    """The elements of an array that each device keeps and decodes, in the order of the places on the mesh."""

    kept: tuple[int, ...]
    decoded: tuple[int, ...]

    @cached_property
    def worst(self) -> float:
        """The largest amplification of a device; 1 where no device keeps an element."""
        pairs = zip(self.kept, self.decoded, strict=True)
        return max((decoded / kept for kept, decoded in pairs if kept), default=1.0)


def part_of(size: int, parts: int, number: int) -> tuple[int, int]:
    """Returns start and stop of a part of a dimension."""
    length = -(-size // parts)
    return min(number * length, size), min((number + 1) * length, size)


def touched(start: int, stop: int, chunk: int) -> int:
    """Returns the number of elements of the chunks that a range touches."""
    return (-(-stop // chunk) - start // chunk) * chunk if stop > start else 0


@lru_cache(maxsize=1 << 12)
def axis_parts(size: int, parts: int, chunk: int) -> tuple[AxisPart, ...]:
    """Returns every part of a dimension."""
    ranges = (part_of(size, parts, number) for number in range(parts))
    return tuple(AxisPart(stop - start, touched(start, stop, chunk)) for start, stop in ranges)


@lru_cache(maxsize=1 << 16)
def axis_amplification(size: int, parts: int, chunk: int) -> float:
    """Returns the largest amplification of a part of a dimension.

    The parts touch the chunks in a pattern that repeats, so that only one period and the last part are computed.
    """
    if not size:
        return 1.0
    length = -(-size // parts)
    whole, rest = divmod(size, length)
    period = min(whole, chunk // math.gcd(length, chunk))
    most = max(touched(n * length, (n + 1) * length, chunk) for n in range(period))
    last = touched(whole * length, size, chunk) / rest if rest else 0.0
    return max(most / length, last)


def amplification(shape: Sequence[int], parts: Sequence[int], chunks: Sequence[int]) -> float:
    """Returns the largest amplification of the parts of an array."""
    return math.prod(map(axis_amplification, shape, parts, chunks))


def parts_of(sharding: Sharding, rank: int) -> Parts:
    """Returns the number of parts of each dimension; every axis of the spec is an axis of the mesh."""
    sizes = dict(sharding.mesh)
    spec = (*sharding.spec, *(None,) * (rank - len(sharding.spec)))
    return tuple(math.prod(sizes[axis] for axis in axes or ()) for axes in spec)


@lru_cache(maxsize=512)
def numbers_of(sharding: Sharding, rank: int) -> tuple[tuple[int, ...], ...]:
    """Returns for each place of the mesh the number of its part along each dimension."""
    spec = (*sharding.spec, *(None,) * (rank - len(sharding.spec)))
    return tuple(tuple(_number(axes or (), place, sharding) for axes in spec) for place in _places(sharding))


def _places(sharding: Sharding) -> Iterator[dict[str, int]]:
    names = [name for name, _ in sharding.mesh]
    for at in itertools.product(*(range(size) for _, size in sharding.mesh)):
        yield dict(zip(names, at, strict=True))


def _number(axes: Sequence[str], place: dict[str, int], sharding: Sharding) -> int:
    sizes, number = dict(sharding.mesh), 0
    for axis in axes:
        number = number * sizes[axis] + place[axis]
    return number


@lru_cache(maxsize=512)  # a checkpoint has many arrays and few shapes
def shard_reads(shape: tuple[int, ...], sharding: Sharding, chunks: tuple[int, ...]) -> ShardReads:
    """Returns what each device of a mesh keeps and decodes of an array.

    Args:
      shape: the shape of the array.
      sharding: its sharding, with a mesh whose sizes are known.
      chunks: the shape of what is decoded at once.
    """
    parts = parts_of(sharding, len(shape))
    sides = [axis_parts(*side) for side in zip(shape, parts, chunks, strict=True)]
    places = [
        [side[number] for side, number in zip(sides, numbers, strict=True)]
        for numbers in numbers_of(sharding, len(shape))
    ]
    return ShardReads(
        tuple(math.prod(part.kept for part in place) for place in places),
        tuple(math.prod(part.decoded for part in place) for place in places),
    )
