"""Pairs the states of the source with those of the target.

A chain with a new transform in front has all its indices shifted and is otherwise unchanged. States are therefore
compared by their properties and not by their position: first by the names on their way (the labels of
`multi_transform`, the names of `named_chain`), then by their kind, then by their order. Where several pairings are
equally good, none is chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from migrate.planning.moments.states import TransformState

Pair = tuple[TransformState, TransformState]
"""A state of the source and the state of the target that continues it."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """The pairing of the states of source and target.

    Attributes:
      pairs: states that correspond.
      ambiguous: states of the source, each with the states of the target that could correspond.
    """

    pairs: tuple[tuple[TransformState, TransformState], ...] = ()
    ambiguous: tuple[tuple[TransformState, tuple[TransformState, ...]], ...] = ()


def align(
    sources: Sequence[TransformState],
    targets: Sequence[TransformState],
    known: Sequence[tuple[TransformState, TransformState]] = (),
) -> Alignment:
    """Pairs the states of source and target.

    Args:
      sources: the source's states, in the order of their chain.
      targets: the target's states, in the order of their chain.
      known: pairs that the rules determine.
    """
    pairs = list(known)
    for by_labels in (True, False):
        pairs += _unique(_left(sources, [s for s, _ in pairs]), _left(targets, [t for _, t in pairs]), by_labels)
    rest, open_ = _left(sources, [s for s, _ in pairs]), _left(targets, [t for _, t in pairs])
    possible = _in_order(rest, open_)
    certain = [(s, ts[0]) for s, ts in possible if len(ts) == 1 and _wanted(possible, ts[0]) == 1]
    ambiguous = [(s, tuple(ts)) for s, ts in possible if ts and (s, ts[0]) not in certain]
    return Alignment((*pairs, *certain), tuple(ambiguous))


def _left(states: Sequence[TransformState], taken: Sequence[TransformState]) -> list[TransformState]:
    return [state for state in states if state not in taken]


def _unique(
    sources: Sequence[TransformState], targets: Sequence[TransformState], by_labels: bool
) -> list[tuple[TransformState, TransformState]]:
    """Returns the pairs whose kind (and labels, with `by_labels`) no other state has on either side."""

    def key(state: TransformState) -> object:
        return (state.kind, state.labels) if by_labels else state.kind

    ours, theirs = Counter(map(key, sources)), Counter(map(key, targets))
    single = {key(target): target for target in targets if theirs[key(target)] == 1}
    return [(s, single[key(s)]) for s in sources if ours[key(s)] == 1 and key(s) in single]


def _wanted(possible: Sequence[tuple[TransformState, Sequence[TransformState]]], target: TransformState) -> int:
    return sum(target in targets for _, targets in possible)


def _in_order(
    sources: Sequence[TransformState], targets: Sequence[TransformState]
) -> list[tuple[TransformState, list[TransformState]]]:
    """Returns for each state of the source its partners in all of the longest alignments that keep the order."""
    ahead = _lengths(sources, targets)
    behind = _lengths(sources[::-1], targets[::-1])
    best = ahead[len(sources)][len(targets)]
    return [
        (
            source,
            [
                target
                for j, target in enumerate(targets)
                if source.kind == target.kind
                and ahead[i][j] + 1 + behind[len(sources) - i - 1][len(targets) - j - 1] == best
            ],
        )
        for i, source in enumerate(sources)
    ]


def _lengths(sources: Sequence[TransformState], targets: Sequence[TransformState]) -> list[list[int]]:
    """Returns a table: entry [i][j] counts the pairs in the longest alignment of the first i with the first j."""
    table = [[0] * (len(targets) + 1) for _ in range(len(sources) + 1)]
    for i, source in enumerate(sources):
        for j, target in enumerate(targets):
            same = table[i][j] + 1 if source.kind == target.kind else 0
            table[i + 1][j + 1] = max(same, table[i][j + 1], table[i + 1][j])
    return table
