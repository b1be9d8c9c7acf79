"""The values that the steps of a suggestion hand to one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from migrate.tree import KeyPath

Shape = tuple[int, ...]

OpText = str
"""An op as it stands between the braces of a rule's `ops:`, such as `squeeze: {axis: 0}`."""


class ModelArray(NamedTuple):
    """An array inside a scope: its shape and, where it is known, the kind of Variable that it is."""

    shape: Shape
    kind: str | None = None

    def without(self, axis: int) -> ModelArray:
        """One part of a stacked array."""
        return ModelArray((*self.shape[:axis], *self.shape[axis + 1 :]), self.kind)


Scope = Mapping[KeyPath, ModelArray]
"""Arrays by their key paths below some module."""


@dataclass(frozen=True, slots=True)
class StackedPart:
    """One of `count` parts along an axis of a stacked array."""

    axis: int
    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An array, or a part of a stacked one, at one end of a match."""

    path: KeyPath
    part: StackedPart | None = None

    def below(self, node: KeyPath) -> Endpoint:
        """The same, seen from further up."""
        return Endpoint(node + self.path, self.part)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another way from the same sources to the same targets.

    Attributes:
      words: what is different.
      ops: the rule's ops instead; none where `words` says it all.
    """

    words: str
    ops: tuple[OpText, ...] = ()

    def __str__(self) -> str:
        ops = ", ".join(f"{{{op}}}" for op in self.ops)
        return f"{self.words}: ops: [{ops}]" if ops else self.words


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a match is not proved, and what else it could be.

    Attributes:
      why: a sentence without its full stop.
      agree: whether the names of both sides are the same, so that only the shapes leave it open.
      others: target leaves that could be meant instead.
      alternatives: other ways to the same target that would fit.
    """

    why: str
    agree: bool = False
    others: tuple[KeyPath, ...] = ()
    alternatives: tuple[Alternative, ...] = ()

    def below(self, node: KeyPath) -> Doubt:
        """The same, seen from further up."""
        return replace(self, others=tuple(node + path for path in self.others))


@dataclass(frozen=True, slots=True)
class Match:
    """Sources that become targets: one and one, several joined into one, or one cut into several.

    Attributes:
      ops: what happens to the arrays, in the order of the rule; stacking and unstacking follow from the parts.
      reason: why, in words.
      doubts: what speaks against it.
    """

    sources: tuple[Endpoint, ...]
    targets: tuple[Endpoint, ...]
    ops: tuple[OpText, ...] = ()
    reason: str = ""
    doubts: tuple[Doubt, ...] = ()

    def below(self, source: KeyPath, target: KeyPath) -> Match:
        """The same, seen from further up."""
        return Match(
            tuple(end.below(source) for end in self.sources),
            tuple(end.below(target) for end in self.targets),
            self.ops,
            self.reason,
            tuple(doubt.below(target) for doubt in self.doubts),
        )

    def doubting(self, *doubts: Doubt) -> Match:
        """The same with more doubts."""
        return replace(self, doubts=(*self.doubts, *doubts))


@dataclass(frozen=True, slots=True)
class Solution:
    """How the arrays of two scopes belong together; what is in no match found no place."""

    matches: tuple[Match, ...]

    def sources(self) -> set[KeyPath]:
        """Arrays of the source that have a place."""
        return {end.path for match in self.matches for end in match.sources}

    def targets(self) -> set[KeyPath]:
        """Arrays of the target that have a source."""
        return {end.path for match in self.matches for end in match.targets}
