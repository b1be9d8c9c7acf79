"""Turns numbers in key paths into captures: `Block_0 -> blocks/0` and `Block_1 -> blocks/1` into one rule with `{i}`.

A target's number may be the source's, shifted, reversed, or divided: `{k+1}`, `{3-k}`, `{k//2}/{k%2}`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from migrate.planning.rule_text.numbers import NUMBER
from migrate.planning.rule_text.rule_drafts import RuleDraft, Segments

_NAMES = "ijklmn"

Column = tuple[int, ...]
Fits = Callable[[RuleDraft], bool]


def by_index(drafts: Sequence[RuleDraft], fits: Fits) -> list[RuleDraft]:
    """Returns the drafts, merged wherever they differ only in numbers.

    Args:
      drafts: any drafts.
      fits: whether a draft's patterns match exactly the leaves that the draft claims.
    """
    families: defaultdict[tuple[object, ...], list[RuleDraft]] = defaultdict(list)
    for draft in drafts:
        skeleton = tuple(tuple(map(_skeleton, side)) for side in (*draft.sources, *draft.targets))
        families[skeleton, len(draft.sources), draft.ops, draft.copy, draft.follow].append(draft)
    return [made for family in families.values() for made in _merge(family, fits)]


def _skeleton(segment: str) -> str:
    return NUMBER.sub("\0", segment)


def _numbers(sides: Iterable[Segments]) -> Column:
    return tuple(int(found[0]) for side in sides for segment in side for found in NUMBER.finditer(segment))


def _merge(drafts: Sequence[RuleDraft], fits: Fits) -> list[RuleDraft]:
    """Returns one draft for all, or as few as a split at one number allows."""
    if len(drafts) == 1:
        return list(drafts)
    whole = _whole(drafts, fits)
    if whole is not None:
        return [whole]
    numbers = [_numbers(draft.sources) + _numbers(draft.targets) for draft in drafts]
    best: list[RuleDraft] | None = None
    for hole in range(len(numbers[0])):
        parts: defaultdict[int, list[RuleDraft]] = defaultdict(list)
        for draft, values in zip(drafts, numbers, strict=True):
            parts[values[hole]].append(draft)
        if len(parts) > 1 and (len(parts) < len(drafts) or best is None):
            made = [one for part in parts.values() for one in (_merge(part, fits) if len(parts) > 1 else part)]
            if best is None or len(made) < len(best):
                best = made
    return best if best is not None else list(drafts)


def _whole(drafts: Sequence[RuleDraft], fits: Fits) -> RuleDraft | None:
    first = drafts[0]
    left = list(zip(*(_numbers(draft.sources) for draft in drafts), strict=True))
    right = list(zip(*(_numbers(draft.targets) for draft in drafts), strict=True))
    names = _named(left, first)
    if names is None or not _captured_by_all(drafts, names):
        return None
    filled = [_expression(column, names) for column in right]
    if not all(filled):
        return None
    for choices in (False, True):
        sources = _written(first.sources, [_capture(column, names, choices=choices) for column in left])
        targets = _written(first.targets, [str(text) for text in filled])
        made = first.merged(drafts[1:], sources, targets)
        if fits(made):
            return made
    return None


def _captured_by_all(drafts: Sequence[RuleDraft], names: dict[Column, str]) -> bool:
    """Whether each source pattern captures every name: a target can use only such names."""
    sides = zip(*(draft.sources for draft in drafts), strict=True)
    return all(set(names) <= set(zip(*(_numbers([side]) for side in column), strict=True)) for column in sides)


def _named(columns: Sequence[Column], draft: RuleDraft) -> dict[Column, str] | None:
    """Returns a name for every column of varying numbers; equal columns share one."""
    text = "".join(segment for side in (*draft.sources, *draft.targets) for segment in side) + "".join(draft.ops)
    used = set(re.findall(r"\{(\w)[:}]|over: (\w)\}", text))
    free = [name for name in _NAMES if not any(name in pair for pair in used)]
    varying = [column for column in dict.fromkeys(columns) if len(set(column)) > 1]
    if not varying or len(varying) > len(free):
        return None
    return dict(zip(varying, free, strict=False))


def _capture(column: Column, names: dict[Column, str], *, choices: bool) -> str:
    if column not in names:
        return str(column[0])
    values = "|".join(map(str, sorted(set(column))))
    return f"{{{names[column]}:{values}}}" if choices else f"{{{names[column]}}}"


def _expression(column: Column, names: dict[Column, str]) -> str | None:
    """Returns a target's numbers as an expression of the source's."""
    if len(set(column)) == 1:
        return str(column[0])
    simple = (_of_one(column, known, name) for known, name in names.items())
    double = (_of_two(column, (one, a), (other, b)) for one, a in names.items() for other, b in names.items() if a != b)
    return next((f"{{{text}}}" for text in (*simple, *double) if text), None)


def _of_one(column: Column, known: Column, name: str) -> str | None:
    shift = column[0] - known[0]
    if all(y - x == shift for x, y in zip(known, column, strict=True)):
        return name if shift == 0 else f"{name}{shift:+d}"
    total = column[0] + known[0]
    if all(x + y == total for x, y in zip(known, column, strict=True)):
        return f"{total}-{name}"
    for divisor in range(2, max(known) + 1):
        if all(y == x // divisor for x, y in zip(known, column, strict=True)):
            return f"{name}//{divisor}"
        if all(y == x % divisor for x, y in zip(known, column, strict=True)):
            return f"{name}%{divisor}"
    return None


def _of_two(column: Column, one: tuple[Column, str], other: tuple[Column, str]) -> str | None:
    """Returns an expression that combines two numbers: `{i*4+j}`."""
    (first, a), (second, b) = one, other
    width = max(second) + 1
    if all(y == x * width + z for x, z, y in zip(first, second, column, strict=True)):
        return f"{a}*{width}+{b}"
    return None


def _written(sides: tuple[Segments, ...], texts: Sequence[str]) -> tuple[Segments, ...]:
    given = iter(texts)

    def text(found: re.Match[str]) -> str:
        inside = found.string[: found.start()].endswith("+")
        return next(given).strip("{}") if inside else next(given)

    return tuple(tuple(NUMBER.sub(text, segment) for segment in side) for side in sides)
