"""The values that the steps of a suggestion exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from migrate.planning.rule_text.doubt import Alternative, Doubt, OpText
from migrate.tree import KeyPath

__all__ = [
    "Alternative",
    "Doubt",
    "Endpoint",
    "Match",
    "ModelArray",
    "OpText",
    "Scope",
    "Shape",
    "Solution",
    "StackedPart",
]

Shape = tuple[int, ...]


class ModelArray(NamedTuple):
    """An array inside a scope: its shape and, where it is known, the kind of its Variable."""

    shape: Shape
    kind: str | None = None

    def without(self, axis: int) -> ModelArray:
        """Returns one part of a stacked array."""
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
    """An array, or a part of a stacked one, on one side of a match."""

    path: KeyPath
    part: StackedPart | None = None

    def below(self, node: KeyPath) -> Endpoint:
        """Returns the endpoint with the key path of a higher scope."""
        return Endpoint(node + self.path, self.part)


@dataclass(frozen=True, slots=True)
class Match:
    """Sources that become targets: one and one, several joined into one, or one split into several.

    Attributes:
      ops: the ops on the arrays, in the order of the rule; stacking and unstacking follow from the endpoints' parts.
      reason: the evidence, for the comment.
      doubts: the doubts about the match.
    """

    sources: tuple[Endpoint, ...]
    targets: tuple[Endpoint, ...]
    ops: tuple[OpText, ...] = ()
    reason: str = ""
    doubts: tuple[Doubt, ...] = ()

    def below(self, source: KeyPath, target: KeyPath) -> Match:
        """Returns the match with key paths of higher scopes."""
        return Match(
            tuple(end.below(source) for end in self.sources),
            tuple(end.below(target) for end in self.targets),
            self.ops,
            self.reason,
            tuple(doubt.below(target) for doubt in self.doubts),
        )

    def doubting(self, *doubts: Doubt) -> Match:
        """Returns the match with more doubts."""
        return replace(self, doubts=(*self.doubts, *doubts))


@dataclass(frozen=True, slots=True)
class Solution:
    """The matches between two scopes; arrays outside all matches are not placed."""

    matches: tuple[Match, ...]

    def sources(self) -> set[KeyPath]:
        """Returns the arrays of the source that are placed."""
        return {end.path for match in self.matches for end in match.sources}

    def targets(self) -> set[KeyPath]:
        """Returns the arrays of the target that have a source."""
        return {end.path for match in self.matches for end in match.targets}
