"""Matches the layers of transformers whose names are known on both sides, and writes the drafts that move them.

Names decide what corresponds, and axes of known order decide the ops: PyTorch's matrices are [out, in], heads are axes
of their own or not, experts and blocks are lists or stacks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from migrate.knowledge.meanings import AFTER_ATTENTION, BEFORE_MLP, OF_ATTENTION, SPLIT
from migrate.planning.suggest.assign import assign
from migrate.planning.suggest.columns import NORM, Column
from migrate.planning.suggest.tokens import similarity
from migrate.planning.suggest.values import Doubt
from migrate.tree import KeyPath

_Norm = tuple[str, float]
"""The meaning of a norm, and its position."""

_NormPair = tuple[_Norm, _Norm, tuple[Doubt, ...]]
"""Norms that correspond, and the doubts about it."""

_BY_NAME = "it may also be the norm before the MLP; only its name supports this"
_BY_ORDER = "their names do not show where in the block they are; their order does"


@dataclass(frozen=True, slots=True)
class ColumnMatch:
    """Columns that become columns: one and one, several that are fused into one, or one that is split.

    Attributes:
      sources, targets: the columns.
      doubts: the doubts about the match.
      copy: whether another match has the sources, too.
    """

    sources: tuple[Column, ...]
    targets: tuple[Column, ...]
    doubts: tuple[Doubt, ...] = ()
    copy: bool = False


def match_columns(mine: Sequence[Column], theirs: Sequence[Column]) -> list[ColumnMatch]:
    """Returns the matches of two models by the meanings of names."""
    towers = _tower_pairs(mine, theirs)
    for one, other in towers:
        _place_remainders(mine, one, theirs, other)
        _place_remainders(theirs, other, mine, one)
    sides = _scopes(mine, [one for one, _ in towers]), _scopes(theirs, [other for _, other in towers])
    found: list[ColumnMatch] = []
    for scope, columns in sides[0].items():
        found += _scope_matches(columns, sides[1].get(scope, ()))
    return found


def _tower_pairs(mine: Sequence[Column], theirs: Sequence[Column]) -> list[tuple[KeyPath, KeyPath]]:
    """Returns the lists of blocks of both sides that correspond: the only ones, or those of similar names."""
    left, right = (list(dict.fromkeys(one.tower for one in side if one.in_block)) for side in (mine, theirs))
    if len(left) == len(right) == 1:
        return [(left[0], right[0])]
    matched = assign(len(left), len(right), lambda i, j: similarity(left[i], right[j]))
    return [(left[i], right[j]) for i, j in matched]


def _place_remainders(columns: Sequence[Column], tower: KeyPath, others: Sequence[Column], there: KeyPath) -> None:
    """Gives the last layers of a list of blocks their numbers, by the number of layers of the other side."""
    total = max((len(one.layers) for one in others if one.tower == there and not one.stacked), default=0)
    for column in columns:
        if column.tower == tower and column.remains:
            column.kind = (total - len(column.cells), 1)


def _scopes(columns: Sequence[Column], towers: Sequence[KeyPath]) -> dict[tuple[bool, int], list[Column]]:
    """Returns columns by tower, those in blocks apart from those around them."""
    found: defaultdict[tuple[bool, int], list[Column]] = defaultdict(list)
    for column in columns:
        if column.in_block:
            if column.tower in towers:
                found[True, towers.index(column.tower)].append(column)
        else:
            found[False, _around(column.names, towers)].append(column)
    return found


def _around(names: KeyPath, towers: Sequence[KeyPath]) -> int:
    """Returns the tower whose module an array outside of blocks shares; -1 for none."""
    if len(towers) < 2:
        return -1
    shared = [
        next((at for at, (a, b) in enumerate(zip(names, tower, strict=False)) if a != b), min(len(names), len(tower)))
        for tower in towers
    ]
    return shared.index(max(shared)) if max(shared) and shared.count(max(shared)) == 1 else -1


_Layers = Mapping[object, Mapping[str, Sequence[Column]]]
"""Columns by meaning, or by the position of a norm, and by array; several columns of a kind of block are one."""


def _layers(columns: Sequence[Column]) -> _Layers:
    found: defaultdict[object, defaultdict[str, list[Column]]] = defaultdict(lambda: defaultdict(list))
    for column in columns:
        named = column.named
        if named.meaning:
            found[(NORM, named.rank) if named.meaning == NORM else named.meaning][column.array].append(column)
    return {key: arrays for key, arrays in found.items() if all(_are_one(columns) for columns in arrays.values())}


def _are_one(columns: Sequence[Column]) -> bool:
    """Whether columns are one array in different layers of a block of several layers."""
    return len({column.kind for column in columns}) == len(columns)


def _scope_matches(mine: Sequence[Column], theirs: Sequence[Column]) -> list[ColumnMatch]:
    left, right = _layers(mine), _layers(theirs)
    pairs = [(key, key, ()) for key in left if key in right and not isinstance(key, tuple)]
    matches = [
        match
        for one, other, doubts in (*pairs, *_norm_pairs(left, right))
        for match in _array_matches(left[one], right[other], doubts)
    ]
    return [*matches, *_fusions(left, right)]


def _array_matches(
    mine: Mapping[str, Sequence[Column]], theirs: Mapping[str, Sequence[Column]], doubts: tuple[Doubt, ...]
) -> Iterator[ColumnMatch]:
    yield from (ColumnMatch(tuple(mine[one]), tuple(theirs[one]), doubts) for one in mine if one in theirs)


def _norm_pairs(left: _Layers, right: _Layers) -> list[_NormPair]:
    """Returns the norms that correspond, by position where it is known, else by order."""
    sides = [sorted((NORM, key[1]) for key in side if isinstance(key, tuple)) for side in (left, right)]
    if len(sides[0]) != len(sides[1]):
        return list(_same_positions(*sides))
    ranks = [[rank for _, rank in side] for side in sides]
    middle = (AFTER_ATTENTION, BEFORE_MLP)  # the same place in a block with a norm before each of two layers
    before = len(ranks[0]) == 2 and all(first < OF_ATTENTION and rest in middle for first, rest in ranks)
    return [
        (one, other, () if one == other or before else (Doubt(_BY_ORDER),)) for one, other in zip(*sides, strict=True)
    ]


def _same_positions(mine: Sequence[_Norm], theirs: Sequence[_Norm]) -> Iterator[_NormPair]:
    """Yields the norms at the same positions of blocks that have different norms.

    A norm after the attention is also one before the MLP, unless the block has one there, too.
    """
    alone = ((NORM, BEFORE_MLP) in mine) != ((NORM, BEFORE_MLP) in theirs)
    for key in mine:
        if key in theirs:
            yield key, key, (Doubt(_BY_NAME),) if alone and key == (NORM, AFTER_ATTENTION) else ()


def _fusions(left: _Layers, right: _Layers) -> Iterator[ColumnMatch]:
    for whole, parts in SPLIT.items():
        for many, one, joins in ((left, right, True), (right, left, False)):
            if whole in one and whole not in many and all(part in many for part in parts):
                for array, columns in one[whole].items():
                    if all(array in many[part] for part in parts):
                        members = tuple(column for part in parts for column in many[part][array])
                        yield ColumnMatch(members, tuple(columns)) if joins else ColumnMatch(tuple(columns), members)
