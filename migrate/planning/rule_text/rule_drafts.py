"""Drafts of generated rules, with real key paths as pattern text, before and after they are merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from migrate.planning.rule_text.doubt import Doubt, OpText
from migrate.planning.rule_text.numbers import split_number
from migrate.tree import KeyPath, format_segment, join_segments

Segments = tuple[str, ...]
"""The segments of a key path or pattern, as text of a rule file."""

OVER = "i"
"""The name of the index that arrays are stacked over."""


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """Sources that one rule moves to targets.

    Attributes:
      sources, targets: patterns; before generalization, each is one key path, apart from a stacked index.
      ops: all ops of the rule.
      claims: the source leaves that it matches.
      fills: the target leaves that it writes.
      reasons: the evidence, for the comment.
      doubts: the doubts about it, with the source leaves in question.
      excepts: patterns of leaves that the rule does not apply to.
      copy: whether another rule takes the sources, too.
      follow: whether moments follow params whose numbers change.
    """

    sources: tuple[Segments, ...]
    targets: tuple[Segments, ...]
    ops: tuple[OpText, ...]
    claims: frozenset[KeyPath]
    fills: frozenset[KeyPath]
    reasons: tuple[str, ...] = ()
    doubts: tuple[tuple[KeyPath, Doubt], ...] = ()
    excepts: tuple[Segments, ...] = ()
    copy: bool = False
    follow: bool = False

    @property
    def keeps(self) -> bool:
        """Whether nothing changes, so that no rule is needed."""
        return self.sources == self.targets and not self.ops

    def merged(
        self, others: Iterable[RuleDraft], sources: tuple[Segments, ...], targets: tuple[Segments, ...]
    ) -> RuleDraft:
        """Returns one draft for this and the others, with new patterns."""
        drafts = (self, *others)
        return RuleDraft(
            sources,
            targets,
            self.ops,
            frozenset().union(*(draft.claims for draft in drafts)),
            frozenset().union(*(draft.fills for draft in drafts)),
            tuple(dict.fromkeys(reason for draft in drafts for reason in draft.reasons)),
            tuple(doubt for draft in drafts for doubt in draft.doubts),
            copy=self.copy,
            follow=self.follow,
        )


def text_of(path: KeyPath) -> Segments:
    """Returns the segments of a key path, escaped so that the pattern matches only this path."""
    return tuple(map(format_segment, path))


def pattern(segments: Segments) -> str:
    """Returns segments in rule-file syntax."""
    return join_segments(segments)


def with_index(column: Sequence[KeyPath], *, exact: bool) -> Segments | None:
    """Returns one pattern for key paths that differ in one number, which counts up; for targets from 0."""
    if len({len(path) for path in column}) > 1:
        return None
    varying = [at for at in range(len(column[0])) if len({path[at] for path in column}) > 1]
    if len(varying) != 1:
        return None
    parts = [split_number(path[varying[0]]) for path in column]
    numbers = [number for _, number in parts]
    start = numbers[0]
    if len({stem for stem, _ in parts}) > 1 or start is None or numbers != list(range(start, start + len(column))):
        return None
    if start > (0 if exact else 1):
        return None
    segments = text_of(column[0])
    stem = format_segment(parts[0][0])
    return (*segments[: varying[0]], f"{stem}{{{OVER}}}", *segments[varying[0] + 1 :])
