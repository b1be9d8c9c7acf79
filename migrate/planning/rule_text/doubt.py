"""What is not proved about a generated rule, and the alternatives."""

from __future__ import annotations

from dataclasses import dataclass, replace

from migrate.tree import KeyPath

OpText = str
"""An op as written between the braces of a rule's `ops:`, such as `squeeze: {axis: 0}`."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Other ops, or another meaning of the same ops, for the same sources and targets.

    Attributes:
      words: the difference, as text.
      ops: the rule's ops in this alternative; empty where `words` is sufficient.
    """

    words: str
    ops: tuple[OpText, ...] = ()

    def __str__(self) -> str:
        ops = ", ".join(f"{{{op}}}" for op in self.ops)
        return f"{self.words}: ops: [{ops}]" if ops else self.words


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a match is not proved, and the alternatives.

    Attributes:
      why: a sentence without its full stop.
      agree: whether the names of both sides are the same, so that only the shapes leave a doubt.
      others: other target leaves that fit.
      alternatives: other ops to the same target that fit.
    """

    why: str
    agree: bool = False
    others: tuple[KeyPath, ...] = ()
    alternatives: tuple[Alternative, ...] = ()

    def below(self, node: KeyPath) -> Doubt:
        """Returns the doubt with key paths of a higher scope."""
        return replace(self, others=tuple(node + path for path in self.others))
