"""Rules from the key paths of one task, for rules whose patterns cannot be reversed.

Arrays that are joined or split have a position along each op that does so. Where a number in the key paths equals the
position plus a constant, the rule captures it; along at most one op, the rule lists the key paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from migrate.planning.invert.task_inverse import TaskInverse
from migrate.planning.rule_text.doubt import OpText
from migrate.planning.rule_text.numbers import split_number
from migrate.planning.rule_text.rule_drafts import RuleDraft, Segments, text_of
from migrate.tree import KeyPath

_NAMES = "ijklmn"

Place = tuple[int, ...]
"""The position of an array along each op of one kind."""


@dataclass(frozen=True, slots=True)
class PatternDraft:
    """The patterns of a rule; `overs` holds the captured name of each inverse step that has one, by position."""

    sources: tuple[Segments, ...]
    targets: tuple[Segments, ...]
    overs: Mapping[int, str]


def drafts(inverse: TaskInverse) -> Iterator[PatternDraft]:
    """Yields candidates for the patterns of one task's inverse, those with most captures first; each needs a check."""
    reduces = [at for at, step in enumerate(inverse.steps) if step.uses[0].op.takes_several]
    extends = [at for at, step in enumerate(inverse.steps) if step.uses[0].op.role == "extend"]
    origins = dict(
        zip(_places([len(inverse.steps[at].uses[0].inputs) for at in reduces]), inverse.origins, strict=False)
    )
    sources = _source_places(inverse, extends)
    if len(origins) != len(inverse.origins) or sources is None:
        return
    left = list(_sides(origins, _NAMES, shifted=False))
    right = list(_sides(sources, _NAMES[len(reduces) :], shifted=True))
    for (lefts, captured), (rights, spread) in product(left, right):
        overs = {reduces[axis]: name for axis, name in captured.items()}
        yield PatternDraft(lefts, rights, overs | {extends[axis]: name for axis, name in spread.items()})


def row(inverse: TaskInverse, draft: PatternDraft, ops: tuple[OpText, ...]) -> RuleDraft:
    """Returns the draft of a rule for one task."""
    return RuleDraft(draft.sources, draft.targets, ops, frozenset(inverse.origins), frozenset(inverse.task.sources))


def _places(sizes: Sequence[int]) -> Iterator[Place]:
    """Yields positions along the inverse ops, in the order of the task's final arrays.

    The first inverse op undoes the task's last op, whose position varies fastest.
    """
    return (place[::-1] for place in product(*(range(size) for size in reversed(sizes))))


def _source_places(inverse: TaskInverse, extends: Sequence[int]) -> dict[Place, KeyPath] | None:
    """Returns the sources by position along the ops that split them; None where positions are not unique."""
    found: list[list[int]] = [[]]
    for at in extends:
        step = inverse.steps[at]
        groups = step.forward.groups
        if len(found) != len(groups):
            return None
        spread: dict[int, list[int]] = {}
        for group, place in zip(groups, found, strict=True):
            spread |= {index: [*place, position] for position, index in enumerate(group)}
        found = [spread[index] for index in sorted(spread)]
    if len(found) != len(inverse.task.sources):
        return None
    return {tuple(place): path for place, path in zip(found, inverse.task.sources, strict=True)}


_Side = tuple[tuple[Segments, ...], dict[int, str]]


def _sides(paths: Mapping[Place, KeyPath], names: str, *, shifted: bool) -> Iterator[_Side]:
    """Yields the patterns of one side with the captured name of each axis; at most one axis has none."""
    rank = len(next(iter(paths)))
    for listed in (None, *range(rank)):
        captured = {axis: names[axis] for axis in range(rank) if axis != listed}
        patterns = list(_listed(paths, listed, captured, shifted=shifted))
        if all(patterns):
            yield tuple(segments for segments in patterns if segments), captured


def _listed(
    paths: Mapping[Place, KeyPath], listed: int | None, captured: Mapping[int, str], *, shifted: bool
) -> Iterable[Segments | None]:
    values = sorted({place[listed] for place in paths}) if listed is not None else [None]
    for value in values:
        part = {place: path for place, path in paths.items() if value is None or place[listed or 0] == value}
        yield _pattern(part, captured, shifted=shifted)


def _pattern(paths: Mapping[Place, KeyPath], captured: Mapping[int, str], *, shifted: bool) -> Segments | None:
    """Returns one pattern for key paths with a number that counts along each axis, or None."""
    first = min(paths)
    segments = list(text_of(paths[first]))
    for axis, name in captured.items():
        column = {place[axis]: path for place, path in paths.items() if _differ_only(place, first, axis)}
        found = _counting([column[position] for position in sorted(column)])
        if found is None:
            return None
        at, stem, start = found
        if start > 1 and not shifted:
            return None
        offset = f"+{start}" if shifted and start else ""
        segments[at] = f"{''.join(text_of((stem,))) if stem else ''}{{{name}{offset}}}"
    return tuple(segments)


def _differ_only(place: Place, first: Place, axis: int) -> bool:
    return all(a == b for at, (a, b) in enumerate(zip(place, first, strict=True)) if at != axis)


def _counting(column: Sequence[KeyPath]) -> tuple[int, str, int] | None:
    """Returns the position of the segment whose number counts up by one, its stem and its first number, or None."""
    if len({len(path) for path in column}) > 1 or len(column) < 2:
        return None
    varying = [at for at in range(len(column[0])) if len({path[at] for path in column}) > 1]
    if len(varying) != 1:
        return None
    parts = [split_number(path[varying[0]]) for path in column]
    start = parts[0][1]
    if start is None or parts != [(parts[0][0], start + step) for step in range(len(column))]:
        return None
    return varying[0], parts[0][0], start
