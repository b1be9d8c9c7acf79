"""Finds sequences of modules on both sides that could correspond by their shapes, in the order to try them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from migrate.planning.suggest.scope import ModuleIndex, ModuleSequence, SequenceMember, total
from migrate.tree import natural_key

_ALIKE_ENOUGH = 0.5
"""The minimum share of shapes that two unequal sequences of blocks must have in common."""


@dataclass(frozen=True, slots=True)
class SequenceCandidates:
    """Sequences of both sides that could correspond, by their shapes alone."""

    coverage: int
    exact: bool
    mine: tuple[ModuleSequence, ...]
    theirs: tuple[ModuleSequence, ...]


def sequence_candidates(mine: ModuleIndex, theirs: ModuleIndex) -> list[SequenceCandidates]:
    """Returns the sequences of both sides that could correspond, the largest first.

    Sequences of equal and of unequal blocks are in one order, so that the small layers of a block that gained a leaf
    wait for the block.
    """
    return sorted((*_same_size_candidates(mine, theirs), *_similar_candidates(mine, theirs)), key=_priority)


def _same_size_candidates(mine: ModuleIndex, theirs: ModuleIndex) -> list[SequenceCandidates]:
    """Returns the sequences of both sides with the same shapes or the same numbers of elements, member by member."""
    candidates: list[SequenceCandidates] = []
    lengths = [{len(sequence.members) for sequence in side.sequences} for side in (mine, theirs)]
    for exact in (True, False):
        keys = _by_key(mine, lengths[1], exact=exact), _by_key(theirs, lengths[0], exact=exact)
        for key in keys[0].keys() & keys[1].keys():
            left, right = keys[0][key], keys[1][key]
            coverage = sum(total(mine.shapes(member)) for member in left[0].members)
            candidates.append(SequenceCandidates(coverage, exact, tuple(left), tuple(right)))
    return candidates


def _priority(candidate: SequenceCandidates) -> tuple[object, ...]:
    first, other = candidate.mine[0], candidate.theirs[0]
    return (
        -candidate.coverage,
        first.virtual or other.virtual,
        not candidate.exact,
        len(first.members),
        natural_key(first.node),
        natural_key(other.node),
    )


def _by_key(
    modules: ModuleIndex, counts: Collection[int], *, exact: bool
) -> dict[tuple[object, ...], list[ModuleSequence]]:
    """Returns the sequences of one side by shapes (`exact`) or by numbers of elements."""
    table: defaultdict[tuple[object, ...], list[ModuleSequence]] = defaultdict(list)
    for sequence in (*modules.sequences, *modules.stacked(counts)):
        members = sequence.members[:1] if sequence.virtual else sequence.members
        parts = [modules.shapes(member) for member in members]
        keys = sorted(parts) if exact else sorted(map(total, parts))
        if sequence.virtual:
            keys *= len(sequence.members)
        table[len(sequence.members), exact, tuple(keys)].append(sequence)
    return table


def partners(
    one: ModuleSequence, other: ModuleSequence, mine: ModuleIndex, theirs: ModuleIndex, *, exact: bool
) -> list[tuple[SequenceMember, SequenceMember]] | None:
    """Pairs the members of two sequences, or returns None.

    Members are paired by number where their shapes agree in that order, else by shape where all shapes are distinct.
    """
    if one.virtual and other.virtual and one.members[0].part == other.members[0].part:
        return None
    in_order = list(zip(one.members, other.members, strict=True))

    def sizes(modules: ModuleIndex, member: SequenceMember) -> object:
        shapes = modules.shapes(member)
        return shapes if exact else total(shapes)

    left, right = [sizes(mine, m) for m in one.members], [sizes(theirs, m) for m in other.members]
    if left == right or len(set(left)) < len(left) or set(left) != set(right):
        return in_order if left == right or set(left) != set(right) else None
    return [(member, other.members[right.index(size)]) for member, size in zip(one.members, left, strict=True)]


def _similar_candidates(mine: ModuleIndex, theirs: ModuleIndex) -> list[SequenceCandidates]:
    """Returns sequences of equal length whose blocks differ in few shapes: an extra bias, a missing layer."""
    candidates: list[SequenceCandidates] = []
    by_length: defaultdict[int, list[ModuleSequence]] = defaultdict(list)
    for other in theirs.sequences:
        by_length[len(other.members)].append(other)
    for one in mine.sequences:
        if len(one.members) < 2 or len(one.members) not in by_length or mine.is_layer(one.node):
            continue
        for other in by_length[len(one.members)]:
            if _are_similar(one, other, mine, theirs):
                coverage = sum(total(mine.shapes(member)) for member in one.members)
                candidates.append(SequenceCandidates(coverage, False, (one,), (other,)))
    return candidates


def _are_similar(one: ModuleSequence, other: ModuleSequence, mine: ModuleIndex, theirs: ModuleIndex) -> bool:
    pairs = zip(one.members, other.members, strict=True)
    return all(_shared(mine.shapes(a), theirs.shapes(b)) >= _ALIKE_ENOUGH for a, b in pairs)


def _shared(one: tuple[tuple[int, ...], ...], other: tuple[tuple[int, ...], ...]) -> float:
    common = (Counter(one) & Counter(other)).total()
    return common / max(len(one), len(other))
