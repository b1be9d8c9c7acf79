"""Chooses the chunks of an array for the loads to come.

A load is a division of the array among devices. Among all chunk shapes under which no device of any load decodes more
than the bound allows, the one with the fewest chunks is chosen; where there is none, the one with the least
amplification. The number of chunks is bounded, and so is their size from below: then small arrays are one chunk.

The edges along different dimensions are combined one dimension at a time. Of what was combined, only what nothing else
beats in both the number of chunks and the amplification is kept; of very many, only the best of about each number of
chunks. So the search is exact for short dimensions and for sizes with common divisors, and fast for others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul

from migrate.planning.chunking.reads import axis_amplification

Load = tuple[tuple[int, ...], ...]
"""For each dimension, the numbers of parts into which it may be divided: `((8,), (1,))` is 8 parts of the rows."""

MESH_BOUND = 1.05
"""The amplification that is accepted for meshes that are known."""

ANY_BOUND = 1.5
"""The amplification that is accepted where the mesh is not known."""

ANY_PARTS = 16
"""The largest number of parts of a dimension for a mesh that is not known, which divides at most two dimensions;
shorter dimensions are not divided.
"""

LEAST_BYTES = 16 << 10
"""The least bytes of a chunk of an array that is divided into several: smaller ones cost more than they save."""

MOST_BYTES = 256 << 20
"""The most bytes of a chunk."""

MOST_CHUNKS = 1 << 16
"""The most chunks of an array: each is an entry of the index."""

_EVERY_EDGE = 1024
_QUOTIENTS = 512
_EXACT = 512


@dataclass(frozen=True, slots=True)
class ChosenChunks:
    """The chunks that were chosen for an array.

    Attributes:
      chunks: the shape of a chunk.
      worst: the largest amplification of a device of any load.
    """

    chunks: tuple[int, ...]
    worst: float


@lru_cache(maxsize=1 << 12)
def any_mesh(shape: tuple[int, ...]) -> tuple[Load, ...]:
    """Returns the loads of every mesh of at most 16×16 devices.

    Each divides two dimensions, in any way that JAX accepts: the number of parts divides the size.
    """
    parts = [
        tuple(n for n in range(1, ANY_PARTS + 1) if size % n == 0) if size >= ANY_PARTS else (1,) for size in shape
    ]
    wide = [axis for axis, counts in enumerate(parts) if len(counts) > 1]
    pairs: list[tuple[int, ...]] = [*itertools.combinations(wide, 2)] or [tuple(wide)]
    whole = ((1,),) * len(shape)
    loads = (tuple(parts[axis] if axis in pair else whole[axis] for axis in range(len(shape))) for pair in pairs)
    return tuple(loads) if wide else ()


def amplification_of(shape: Sequence[int], chunks: Sequence[int], loads: Iterable[Load]) -> float:
    """Returns the largest amplification of a device of any load; 1 without a load."""
    return max((_of_load(shape, chunks, load) for load in loads), default=1.0)


def _of_load(shape: Sequence[int], chunks: Sequence[int], load: Load) -> float:
    sides = zip(shape, load, chunks, strict=True)
    return math.prod(max(axis_amplification(size, n, edge) for n in counts) for size, counts, edge in sides)


@lru_cache(maxsize=1 << 12)  # a checkpoint has many arrays and few shapes
def choose(shape: tuple[int, ...], itemsize: int, loads: tuple[Load, ...], bound: float) -> ChosenChunks:
    """Returns the chunks of an array.

    Args:
      shape: its shape, without a dimension of size 0.
      itemsize: bytes of an element.
      loads: the loads to come.
      bound: the amplification that is accepted.
    """
    most = most_chunks(math.prod(shape) * itemsize)
    found = [_Partial(1, (1.0,) * len(loads), ())]
    for axis, size in enumerate(shape):
        options = _options(size, tuple(load[axis] for load in loads), most)
        found = _front(one.joined(option) for one in found for option in options if one.count * option.count <= most)
    reached = [one for one in found if one.worst <= bound]
    best = min(reached, key=_Partial.size_first) if reached else min(found, key=_Partial.worst_first)
    chunks = divided(best.edges, itemsize, MOST_BYTES)
    return ChosenChunks(chunks, amplification_of(shape, chunks, loads))


def most_chunks(nbytes: int) -> int:
    """Returns the most chunks of an array of this size, before chunks above the largest size are divided."""
    return max(1, min(MOST_CHUNKS, nbytes // LEAST_BYTES))


@dataclass(frozen=True, slots=True)
class _Partial:
    """The edges of the first dimensions.

    Attributes:
      count: number of chunks.
      factors: amplification of each load.
      edges: the edge along each dimension.
    """

    count: int
    factors: tuple[float, ...]
    edges: tuple[int, ...]

    @property
    def worst(self) -> float:
        """The amplification of the worst load."""
        return max(self.factors, default=1.0)

    def joined(self, other: _Partial) -> _Partial:
        """Returns the edges of both."""
        factors = tuple(map(mul, self.factors, other.factors))
        return _Partial(self.count * other.count, factors, self.edges + other.edges)

    def size_first(self) -> tuple[object, ...]:
        """A sort key: the number of chunks, the amplification, and the edges, of which the last are to be long."""
        return self.count, self.worst, [-edge for edge in reversed(self.edges)]

    def worst_first(self) -> tuple[object, ...]:
        """A sort key: the amplification before the number of chunks."""
        return self.worst, self.count, [-edge for edge in reversed(self.edges)]

    def beats(self, other: _Partial) -> bool:
        """Whether it is as good for every load; it does not have more chunks."""
        return all(mine <= theirs for mine, theirs in zip(self.factors, other.factors, strict=True))


def _front(candidates: Iterable[_Partial]) -> list[_Partial]:
    """Returns the candidates that no other beats, with few chunks first; of very many, the best of each size."""
    ordered = sorted(candidates, key=_Partial.size_first)
    if len(ordered) > _EXACT:
        ordered = _best_of_each_size(ordered)
    kept: list[_Partial] = []
    for one in ordered:
        if not any(other.beats(one) for other in reversed(kept)):
            kept.append(one)
    return kept


def _best_of_each_size(ordered: Iterable[_Partial]) -> list[_Partial]:
    """Returns for numbers of chunks that differ by less than 5 % the candidate with the least amplification."""
    best: dict[int, _Partial] = {}
    for one in ordered:
        known = best.setdefault(int(16 * math.log2(one.count)), one)
        if one.worst < known.worst:
            best[int(16 * math.log2(one.count))] = one
    return list(best.values())


@lru_cache(maxsize=1 << 12)
def _options(size: int, counts: tuple[tuple[int, ...], ...], most: int) -> list[_Partial]:
    """Returns the edges along one dimension that are worth trying."""
    return _front(
        _Partial(
            -(-size // edge),
            tuple(max(axis_amplification(size, n, edge) for n in parts) for parts in counts),
            (edge,),
        )
        for edge in _edges(size, {n for parts in counts for n in parts}, most)
    )


def _edges(size: int, counts: Iterable[int], most: int) -> Iterator[int]:
    """Yields edges that give at most `most` chunks: all of them, or those of even divisions of array and parts.

    Among the edges that touch the same chunks everywhere, the shortest is the best, and it is the quotient of the
    boundary of a part, rounded up.
    """
    least = -(-size // most)
    if size <= _EVERY_EDGE:
        yield from range(max(least, 1), size + 1)
        return
    lengths = {-(-size // n) for n in counts} | {size}
    common = math.gcd(*lengths)
    edges = {-(-length // q) for length in lengths for q in range(1, _QUOTIENTS + 1)}
    edges |= {edge for q in range(1, math.isqrt(common) + 1) if common % q == 0 for edge in (q, common // q)}
    yield from sorted(edge for edge in edges if edge >= least)


def divided(chunks: tuple[int, ...], itemsize: int, limit: int, *, square: bool = False) -> tuple[int, ...]:
    """Returns chunks of at most `limit` bytes, which divide the given ones evenly where that is possible.

    Chunks that divide others evenly are never worse: whatever touches a part of a chunk touches the chunk.

    Args:
      chunks: the shape of a chunk.
      itemsize: bytes of an element.
      limit: bytes.
      square: whether the longest edge is divided first; else the first.
    """
    edges = list(chunks)
    while (times := math.prod(edges) * itemsize / limit) > 1 and max(edges, default=1) > 1:
        axes = [axis for axis, edge in enumerate(edges) if edge > 1]
        if square:
            axes.sort(key=lambda axis: -edges[axis])
        factors = {axis: _factor(edges[axis], times) for axis in axes}
        axis = next((axis for axis in axes if factors[axis]), axes[0])
        edges[axis] = edges[axis] // factors[axis] if factors[axis] else -(-edges[axis] // math.ceil(times))
    return tuple(edges)


def _factor(edge: int, times: float) -> int:
    """Returns the smallest prime factor of an edge that is at most twice the number of chunks that are needed, or 0."""
    limit = min(int(2 * times) + 1, edge)
    return next((factor for factor in range(2, limit + 1) if edge % factor == 0), 0)


def shard_around(shape: Sequence[int], chunks: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Returns the shard of zarr 3 around chunks: as many as fit into the largest size, in C order.

    Args:
      shape: the shape of the array.
      chunks: the shape of a chunk.
      itemsize: bytes of an element.
    """
    edges = list(chunks)
    for axis in reversed(range(len(edges))):
        room = max(MOST_BYTES // (math.prod(edges) * itemsize), 1)
        edges[axis] *= min(room, -(-shape[axis] // chunks[axis]))
        if room < -(-shape[axis] // chunks[axis]):
            break
    return tuple(edges)
