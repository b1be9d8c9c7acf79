"""Variants of a suggestion that a probe can tell apart: exchanged targets, other ops, and arrays without any value.

A probe that passes on the suggestion and fails on a variant shows that the suggestion is right and the variant is not.
A probe that passes on both cannot tell them apart. Variants of all blocks of a list at once come before those of a
single block.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from migrate.planning.rule_text.numbers import numbers_in
from migrate.planning.rule_text.rule_drafts import RuleDraft
from migrate.planning.suggest.norms import shifted_norms
from migrate.planning.suggest.values import Alternative, Doubt, OpText
from migrate.tree import KeyPath, format_segment, natural_key

Leaves = frozenset[KeyPath]
Verdict = Literal["refuted", "alike", "untried"]
"""The result of a probe on a variant of a suggestion on which it passes: it fails, it passes too, or it did not run."""

_UNLIKELY = 99
"""The rank of a variant that no doubt proposes."""

PROVED = "proved by value"

SHIFTED = "outputs agree only with this sum"
"""The reason for a sum that no doubt proposes: the probe fails without it."""


@dataclass(frozen=True)
class Variant:
    """A change of several drafts at once.

    Attributes:
      exchanged: pairs of drafts, by the targets that they fill, whose targets are exchanged.
      ops: other ops of drafts, by the targets that they fill.
      erased: targets that get no value; the other fields are then empty.
      covers: the doubts that the variant settles: a draft, by its targets, and the position of the doubt.
      rank: its position among the alternatives of a doubt; the most likely one has rank 0.
      whole: whether it changes all blocks of a list alike.
      reason: the evidence that drafts with other ops get.
    """

    exchanged: tuple[tuple[Leaves, Leaves], ...] = ()
    ops: tuple[tuple[Leaves, Alternative], ...] = ()
    erased: Leaves = frozenset()
    covers: frozenset[tuple[Leaves, int]] = frozenset()
    rank: int = 0
    whole: bool = True
    reason: str = ""

    @property
    def targets(self) -> Leaves:
        """The targets that change."""
        return self.erased.union(*(one | other for one, other in self.exchanged), *(leaves for leaves, _ in self.ops))

    def apply(self, drafts: Sequence[RuleDraft]) -> Iterator[list[RuleDraft]]:
        """Yields the changed drafts, first with ops that move with their sources, then with ops that stay."""
        lists = (tuple(_exchanged(drafts, self.exchanged, stay=stay)) for stay in (False, True))
        for changed in dict.fromkeys(lists):
            yield [_with_ops(draft, dict(self.ops).get(draft.fills), self.reason) for draft in changed]


def variants(drafts: Sequence[RuleDraft], *, erased: bool = False) -> list[Variant]:
    """Returns the variants of drafts in the order of likelihood.

    Args:
      drafts: the drafts, each with its doubts.
      erased: whether the targets of each doubt get a variant without a value, on which outputs may not depend, rather
        than the drafts, with or without doubts, one in which the scales of norms have another meaning.
    """
    owner = {path: draft for draft in drafts for path in draft.fills}
    changes: list[tuple[tuple[object, ...], tuple[object, ...], Variant]] = []
    for draft in drafts:
        for position, (_, doubt) in enumerate(draft.doubts):
            covers = frozenset({(draft.fills, position)})
            found = [*_exchanges(draft, doubt, owner, covers), *_other_ops(draft, doubt, covers)]
            if erased:
                places = _numberless(_first(draft.fills))
                found.append((("erased", places), (draft.fills,), Variant(erased=draft.fills, covers=covers)))
            changes += found
    whole: defaultdict[object, list[Variant]] = defaultdict(list)
    single: defaultdict[object, list[Variant]] = defaultdict(list)
    for key, own, change in changes:
        whole[key].append(change)
        single[key, own].append(change)
    together = [_joined(members, whole=True) for members in whole.values()]
    apart = [_joined(members, whole=False) for members in single.values()]
    known = {(one.exchanged, one.ops, one.erased) for one in together}
    apart = [one for one in apart if (one.exchanged, one.ops, one.erased) not in known and not one.erased]
    shifted = () if erased else (Variant(ops=ops, rank=_UNLIKELY, reason=SHIFTED) for ops in shifted_norms(drafts))
    return [*sorted(together, key=_rank), *shifted, *sorted(apart, key=_rank)]


def _rank(variant: Variant) -> int:
    return variant.rank


def _exchanges(
    draft: RuleDraft, doubt: Doubt, owner: Mapping[KeyPath, RuleDraft], covers: frozenset[tuple[Leaves, int]]
) -> Iterator[tuple[tuple[object, ...], tuple[object, ...], Variant]]:
    for rank, other in enumerate(doubt.others):
        rival = owner.get(other)
        if rival is None or rival is draft:
            continue
        pair = sorted((_first(draft.fills), _first(rival.fills)), key=natural_key)
        mine, theirs = sorted((draft.fills, rival.fills), key=lambda fills: natural_key(_first(fills)))
        nodes = _nodes(*pair)
        shared = _shared(*nodes)
        above = _numberless(nodes[0][:shared])
        key = (above, nodes[0][shared:], nodes[1][shared:])
        yield key, nodes, Variant(((mine, theirs),), covers=covers, rank=rank)


def _other_ops(
    draft: RuleDraft, doubt: Doubt, covers: frozenset[tuple[Leaves, int]]
) -> Iterator[tuple[tuple[object, ...], tuple[object, ...], Variant]]:
    for rank, way in enumerate(doubt.alternatives):
        if way.ops:
            key = (_numberless(_first(draft.fills)[:-1]), way.words)
            yield key, (draft.fills, way), Variant(ops=((draft.fills, way),), covers=covers, rank=rank)


def _first(fills: Leaves) -> KeyPath:
    return min(fills, key=natural_key)


def _nodes(one: KeyPath, other: KeyPath) -> tuple[KeyPath, KeyPath]:
    """Returns the two modules below which both key paths are the same."""
    back = 0
    while back < min(len(one), len(other)) - 1 and one[-1 - back] == other[-1 - back]:
        back += 1
    return one[: len(one) - back], other[: len(other) - back]


def _shared(one: KeyPath, other: KeyPath) -> int:
    """Returns the number of leading segments that two key paths share."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _numberless(path: KeyPath) -> KeyPath:
    return tuple(numbers_in(segment)[0] for segment in path)


def _joined(members: Sequence[Variant], *, whole: bool) -> Variant:
    return Variant(
        tuple(dict.fromkeys(pair for one in members for pair in one.exchanged)),
        tuple(dict.fromkeys(ops for one in members for ops in one.ops)),
        frozenset().union(*(one.erased for one in members)),
        frozenset().union(*(one.covers for one in members)),
        min(one.rank for one in members),
        whole,
    )


def _exchanged(
    drafts: Sequence[RuleDraft], pairs: Sequence[tuple[Leaves, Leaves]], *, stay: bool
) -> Iterator[RuleDraft]:
    by_fills = {draft.fills: draft for draft in drafts}
    partner = {one: other for a, b in pairs for one, other in ((a, b), (b, a))}
    for draft in drafts:
        other = by_fills.get(partner.get(draft.fills, draft.fills), draft)
        yield draft if other is draft else _moved(draft, other, stay=stay)


def _moved(draft: RuleDraft, other: RuleDraft, *, stay: bool) -> RuleDraft:
    """Returns the draft with the targets of another one, and in its doubts its own targets in their place."""
    mine, theirs = (sorted(one.fills, key=natural_key) for one in (draft, other))
    back = dict(zip(theirs, mine, strict=False))
    doubts = tuple(
        (path, replace(doubt, others=tuple(back.get(place, place) for place in doubt.others)))
        for path, doubt in draft.doubts
    )
    ops = other.ops if stay else draft.ops
    return replace(draft, targets=other.targets, fills=other.fills, ops=ops, doubts=doubts)


def _with_ops(draft: RuleDraft, way: Alternative | None, reason: str) -> RuleDraft:
    """Returns the draft with other ops, and its own ops as the alternative."""
    if way is None:
        return draft
    own: tuple[OpText, ...] = draft.ops
    doubts = tuple((path, _without_way(doubt, way, own)) for path, doubt in draft.doubts)
    return replace(draft, ops=way.ops, doubts=doubts, reasons=(*draft.reasons, *([reason] if reason else [])))


def _without_way(doubt: Doubt, way: Alternative, own: tuple[OpText, ...]) -> Doubt:
    if way not in doubt.alternatives:
        return doubt
    rest = tuple(one for one in doubt.alternatives if one != way)
    first = (Alternative("the other order or orientation", own),) if own else ()
    return replace(doubt, alternatives=(*first, *rest))


def settled(drafts: Sequence[RuleDraft], verdicts: Mapping[Variant, Verdict], spec: str) -> list[RuleDraft]:
    """Returns the drafts without the doubts that a probe settles; other doubts state what it cannot tell.

    Args:
      drafts: the drafts on which the probe passes.
      verdicts: the verdict on each of their variants.
      spec: the probe, as `module:function`.
    """
    about: defaultdict[tuple[Leaves, int], list[tuple[Variant, Verdict]]] = defaultdict(list)
    for variant, verdict in verdicts.items():
        for doubt in variant.covers:
            about[doubt].append((variant, verdict))
    return [_settled(draft, about, spec) for draft in drafts]


def _settled(
    draft: RuleDraft, about: Mapping[tuple[Leaves, int], Sequence[tuple[Variant, Verdict]]], spec: str
) -> RuleDraft:
    doubts: list[tuple[KeyPath, Doubt]] = []
    for position, (path, doubt) in enumerate(draft.doubts):
        found = about.get((draft.fills, position), ())
        left = [(variant, verdict) for variant, verdict in found if verdict != "refuted"]
        if found and not left:
            continue
        doubts.append((path, _left(doubt, draft, left, spec) if left else doubt))
    if draft.doubts and not doubts:
        return replace(draft, doubts=(), reasons=(*draft.reasons, PROVED))
    return replace(draft, doubts=tuple(doubts))


def _left(doubt: Doubt, draft: RuleDraft, left: Sequence[tuple[Variant, Verdict]], spec: str) -> Doubt:
    """Returns the doubt with the alternatives that the probe has not refuted."""
    alike = [variant for variant, verdict in left if verdict == "alike"]
    if any(variant.erased for variant in alike):
        name = format_segment(_first(draft.fills)[-1])
        return replace(doubt, why=f"{doubt.why}; the probe `{spec}` does not depend on `{name}`")
    note = f"the probe `{spec}` passes either way" if alike else f"the probe `{spec}` had no run left for this"
    places = {path for variant, _ in left for pair in variant.exchanged for fills in pair for path in fills}
    ways = {way for variant, _ in left for fills, way in variant.ops if fills == draft.fills}
    others = tuple(path for path in doubt.others if path in places)
    return replace(
        doubt,
        why=f"{doubt.why}; {note}",
        others=others,
        alternatives=tuple(way for way in doubt.alternatives if way in ways),
    )
