"""Turns matches into rule drafts: one for each task that a rule makes, with real key paths as pattern text.

A stacked array has one draft, whatever the number of its parts, with the stacked index as a capture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from migrate.planning.rule_text.rule_drafts import OVER, RuleDraft, Segments, text_of, with_index
from migrate.planning.suggest.strides import StridedStack, merged_stacks, spread, stride
from migrate.planning.suggest.values import Alternative, Doubt, Endpoint, Match, OpText
from migrate.tree import KeyPath

_SWAPPED: OpText = 'rearrange: "a b ... -> b a ..."'
"""Exchanges the first two axes; layers are stacked on one of them."""


def draft_rules(
    matches: Sequence[Match], sources: Mapping[KeyPath, KeyPath], targets: Mapping[KeyPath, KeyPath]
) -> tuple[RuleDraft, ...]:
    """Returns the drafts of all matches; an incomplete set of parts of a stacked array has none.

    Args:
      matches: matches by place in the model.
      sources: key paths of the checkpoint by place.
      targets: key paths of the template by place.
    """
    drafts: list[RuleDraft] = []
    stacks: defaultdict[tuple[object, ...], list[Match]] = defaultdict(list)
    for match in matches:
        picked = [end for end in (*match.sources, *match.targets) if end.part]
        if not picked:
            drafts.append(_plain(match, sources, targets))
        else:
            # Of two stacked sides, neither names the index: only parts of one array in one array are one rule.
            mine, theirs = (tuple(end.path for end in ends if end.part) for ends in (match.sources, match.targets))
            stacks[mine, theirs, match.ops].append(match)
    strided: list[StridedStack] = []
    for members in stacks.values():
        draft = _stacked(sorted(members, key=_index), sources, targets)
        if isinstance(draft, StridedStack):
            strided.append(draft)
        elif draft is not None:
            drafts.append(draft)
    return (*drafts, *merged_stacks(strided, sources.values()))


def _plain(match: Match, sources: Mapping[KeyPath, KeyPath], targets: Mapping[KeyPath, KeyPath]) -> RuleDraft:
    mine, theirs = _real(match.sources, sources), _real(match.targets, targets)
    return RuleDraft(
        tuple(map(text_of, mine)),
        tuple(map(text_of, theirs)),
        match.ops,
        frozenset(mine),
        frozenset(theirs),
        (match.reason,) if match.reason else (),
        _doubts([match], sources, targets),
    )


def _real(ends: Iterable[Endpoint], paths: Mapping[KeyPath, KeyPath]) -> tuple[KeyPath, ...]:
    return tuple(paths[end.path] for end in ends)


def _doubts(
    matches: Iterable[Match], sources: Mapping[KeyPath, KeyPath], targets: Mapping[KeyPath, KeyPath]
) -> tuple[tuple[KeyPath, Doubt], ...]:
    return tuple(
        (
            sources[match.sources[0].path],
            Doubt(
                doubt.why,
                doubt.agree,
                tuple(targets[path] for path in doubt.others if path in targets),
                doubt.alternatives,
            ),
        )
        for match in matches
        for doubt in match.doubts
    )


def _index(match: Match) -> int:
    return _place(match.sources[0]) if match.sources[0].part else _place(match.targets[0])


def _place(end: Endpoint) -> int:
    return end.part.index if end.part else 0


def _stacked(
    members: Sequence[Match], sources: Mapping[KeyPath, KeyPath], targets: Mapping[KeyPath, KeyPath]
) -> RuleDraft | StridedStack | None:
    """Returns the draft of all parts of one stacked array (or of several that are joined)."""
    first = members[0]
    mine, theirs = first.sources[0].part, first.targets[0].part
    part = mine or theirs
    if part is None or [_index(match) for match in members] != list(range(part.count)):
        return None
    if mine and theirs and any(_place(match.sources[0]) != _place(match.targets[0]) for match in members):
        return None
    left = _across([_real(match.sources, sources) for match in members], stacked=mine is not None, exact=False)
    right = _across([_real(match.targets, targets) for match in members], stacked=theirs is not None, exact=True)
    steps = stride([sources[match.sources[0].path] for match in members]) if mine is None else None
    strided = steps is not None and len(first.sources) == len(first.targets) == 1
    named = (left[1] or strided) and right[1]
    ops = _ops(first, first.ops, named=named)
    if ops is None or (not named and len(first.sources) + len(first.targets) > 2):
        return None
    doubts = _doubts(members, sources, targets)
    draft = RuleDraft(
        left[0],
        right[0],
        ops,
        frozenset(path for match in members for path in _real(match.sources, sources)),
        frozenset(path for match in members for path in _real(match.targets, targets)),
        (first.reason,) if first.reason else (),
        tuple((path, _stacking(doubt, first, named=named)) for path, doubt in doubts),
    )
    return StridedStack(draft, steps) if strided and steps else draft


def _across(members: Sequence[tuple[KeyPath, ...]], *, stacked: bool, exact: bool) -> tuple[tuple[Segments, ...], bool]:
    """Returns the patterns of one side of a stack, and whether they name the index; if not, they are all key paths."""
    if stacked:
        return tuple(map(text_of, members[0])), True
    columns = [
        with_index(column, exact=exact) or (spread(column) if exact else None) for column in zip(*members, strict=True)
    ]
    if all(columns):
        return tuple(column for column in columns if column), True
    return tuple(text_of(path) for paths in members for path in paths), False


def _stacking(doubt: Doubt, match: Match, *, named: bool) -> Doubt:
    """Returns the doubt about a part of a stacked array, with the ops for the whole array."""
    ways = (Alternative(way.words, (way.ops and _ops(match, way.ops, named=named)) or ()) for way in doubt.alternatives)
    return replace(doubt, alternatives=tuple(ways))


def _ops(match: Match, inner: tuple[OpText, ...], *, named: bool) -> tuple[OpText, ...] | None:
    mine, theirs = match.sources[0].part, match.targets[0].part
    over = f", over: {OVER}" if named else ""
    if mine and theirs:
        return None if inner else (_SWAPPED,)
    if theirs:
        return (*inner, f"stack: {{axis: {theirs.axis}{over}}}")
    assert mine is not None
    if mine.axis == 0 or not inner:
        return (*inner, f"unstack: {{axis: {mine.axis}{over}}}")
    return (_SWAPPED, *inner, f"unstack: {{axis: 0{over}}}")
