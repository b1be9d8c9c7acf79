"""Turns many rule drafts into few rules: whole modules by `**`, numbers by captures, parallel names by `{p:a|b}`.

Every merged rule is matched against the checkpoint's leaves with the rule matcher, and kept only if it matches exactly
the intended leaves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal

from migrate.planning.rule_text.indices import by_index
from migrate.planning.rule_text.rule_drafts import RuleDraft, Segments, pattern, text_of
from migrate.rules.pattern import Pattern
from migrate.tree import KeyPath, natural_key

_CHOICES = "pqrs"
_MOST_CHOICES = 6

REST = "**"


class Generalizer:
    """Merges rule drafts into few rules, for one checkpoint."""

    def __init__(self, leaves: Collection[KeyPath], *, lists: bool = False) -> None:
        """Prepares a generalizer.

        Args:
          leaves: the key paths that patterns can match.
          lists: whether rules with several sources or targets are merged by a choice of names as well.
        """
        self._leaves = tuple(leaves)
        self._lists = lists
        self._claimed = lru_cache(maxsize=None)(self._match)
        self._below: defaultdict[Segments, set[KeyPath]] = defaultdict(set)
        for path in self._leaves:
            segments = text_of(path)
            for depth in range(len(path) + 1):
                self._below[(*segments[:depth], REST)].add(path)
            self._below[segments].add(path)

    def rules(self, rows: Iterable[RuleDraft]) -> list[RuleDraft]:
        """Returns as few drafts as these steps find, in the order of their sources."""
        moving = [row for row in rows if not row.keeps]
        merged = self._by_choice(by_index(self._by_module(moving), self.fits))
        return sorted(merged, key=lambda row: natural_key(min(row.claims, key=natural_key)))

    def places(self, rows: Sequence[RuleDraft]) -> list[RuleDraft]:
        """Returns shorter drafts that still spell out every name below the collections."""
        return self._by_choice(by_index(self._by_module(rows), self.fits), deepest=1)

    def fits(self, row: RuleDraft) -> bool:
        """Whether the draft's patterns match exactly the leaves that it claims, each of them once."""
        taken = [self._claimed(source) for source in row.sources]
        return sum(map(len, taken)) == len(row.claims) and frozenset().union(*taken) == row.claims

    def _match(self, segments: Segments) -> frozenset[KeyPath]:
        """Returns the leaves that a pattern matches; plain key paths and whole modules are looked up in a table."""
        if not any(segment.startswith("{") or "{" in segment.replace("\\{", "") for segment in segments):
            return frozenset(self._below.get(segments, ()))
        parsed = Pattern.parse(pattern(segments))
        return frozenset(path for path in self._leaves if parsed.match(path) is not None)

    def _by_module(self, rows: Sequence[RuleDraft]) -> list[RuleDraft]:
        """Merges drafts of whole modules, the largest first."""
        groups: defaultdict[tuple[Segments, Segments, tuple[object, ...]], list[RuleDraft]] = defaultdict(list)
        for row in rows:
            for source, target in _modules(row):
                groups[source, target, _fields(row)].append(row)
        made: list[RuleDraft] = []
        settled: set[int] = set()
        for (source, target, *_), group in sorted(groups.items(), key=lambda item: (-len(item[1]), len(item[0][0]))):
            if len(group) < 2 or any(id(row) in settled for row in group):
                continue
            whole = group[0].merged(group[1:], ((*source, REST),), ((*target, REST),))
            if self.fits(whole):
                made.append(whole)
                settled |= {id(row) for row in group}
        return [*made, *(row for row in rows if id(row) not in settled)]

    def _by_choice(self, rows: Sequence[RuleDraft], deepest: int | None = None) -> list[RuleDraft]:
        """Merges drafts that differ in one name, which is the same on both sides or only on the left."""
        left = list(rows)
        for row in rows:
            single = len(row.sources) == len(row.targets) == 1
            for at in range(len(row.sources[0]) if single or self._lists else 0)[:deepest]:
                alike = [other for other in left if _differ_at(row, other, at)] if row in left else []
                merged = self._chosen([row, *alike], at) if alike else None
                if merged is not None:
                    left = [other for other in left if other is not row and other not in alike]
                    left.append(merged)
                    break
        return left

    def _chosen(self, rows: Sequence[RuleDraft], at: int) -> RuleDraft | None:
        first, second = rows[0], rows[1]
        names = [row.sources[0][at] for row in rows]
        if len(names) > _MOST_CHOICES or "" in names:
            return None
        used = "".join(segment for side in (*first.sources, *first.targets) for segment in side)
        name = next((one for one in _CHOICES if f"{{{one}" not in used), None)
        if name is None:
            return None
        capture = f"{{{name}:{'|'.join(names)}}}"
        sources = (_replaced(first.sources[0], at, capture), *_with_choice(first, second, capture, "sources")[1:])
        merged = first.merged(rows[1:], sources, _with_choice(first, second, f"{{{name}}}", "targets"))
        return merged if self.fits(merged) else None


def _fields(row: RuleDraft) -> tuple[object, ...]:
    """Returns the fields of a rule beside its patterns."""
    return row.ops, row.copy, row.follow


def _modules(row: RuleDraft) -> Iterator[tuple[Segments, Segments]]:
    """Yields every pair of modules below which a draft's key paths are the same."""
    if len(row.sources) != 1 or len(row.targets) != 1:
        return
    source, target = row.sources[0], row.targets[0]
    for back in range(1, min(len(source), len(target)) + 1):
        if source[-back] != target[-back] or "{" in source[-back]:
            return
        yield source[:-back], target[:-back]


def _differ_at(row: RuleDraft, other: RuleDraft, at: int) -> bool:
    """Whether two drafts are the same but for a name on the left, and for the same name on the right."""
    if other is row or _fields(row) != _fields(other) or bool(row.doubts) != bool(other.doubts):
        return False
    if (len(row.sources), len(row.targets)) != (len(other.sources), len(other.targets)):
        return False
    source, theirs = row.sources[0], other.sources[0]
    if not _same_but(source, theirs, at) or not _plain(source[at]) or not _plain(theirs[at]):
        return False
    names = (source[at], theirs[at])
    if len(row.targets) == 1 == len(row.sources) and row.targets == other.targets:
        return True
    rest = [*zip(row.sources[1:], other.sources[1:], strict=True), *zip(row.targets, other.targets, strict=True)]
    return all(_differ_in(one, another, names) for one, another in rest)


def _differ_in(one: Segments, other: Segments, names: tuple[str, str]) -> bool:
    """Whether one side has the first name where the other has the second, and nothing else differs."""
    changed = _changed(one, other)
    return len(one) == len(other) and len(changed) == 1 and (one[changed[0]], other[changed[0]]) == names


def _changed(one: Segments, other: Segments) -> list[int]:
    return [i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]]


def _with_choice(
    row: RuleDraft, other: RuleDraft, text: str, side: Literal["sources", "targets"]
) -> tuple[Segments, ...]:
    """Returns one side of a draft with a capture where another draft has another name."""
    mine: tuple[Segments, ...] = getattr(row, side)
    theirs: tuple[Segments, ...] = getattr(other, side)
    changes = [(one, _changed(one, another)) for one, another in zip(mine, theirs, strict=True)]
    return tuple(_replaced(one, changed[0], text) if changed else one for one, changed in changes)


def _replaced(segments: Segments, at: int, text: str) -> Segments:
    return (*segments[:at], text, *segments[at + 1 :])


def _same_but(one: Segments, other: Segments, at: int) -> bool:
    return (
        len(one) == len(other) and one[at] != other[at] and one[:at] == other[:at] and one[at + 1 :] == other[at + 1 :]
    )


def _plain(segment: str) -> bool:
    return not set(segment) & set("{}*\\|")
