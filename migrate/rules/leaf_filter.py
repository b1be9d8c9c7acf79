"""Leaves that an include takes out of the rules of its file: those of `except:`, and all that `only:` does not name."""

from __future__ import annotations

from dataclasses import dataclass

from migrate.rules.matching import Bindings
from migrate.rules.pattern import Pattern
from migrate.tree import KeyPath


@dataclass(frozen=True, slots=True)
class Outside:
    """All key paths that match none of some patterns; in place of a pattern where leaves are left out."""

    patterns: tuple[Pattern, ...]

    @property
    def names(self) -> frozenset[str]:
        """The names that the patterns use."""
        return frozenset(name for pattern in self.patterns for name in pattern.names)

    def match(self, path: KeyPath) -> Bindings | None:
        """Returns an empty match for a key path that no pattern matches; else None."""
        return None if any(pattern.match(path) is not None for pattern in self.patterns) else {}


LeafFilter = Pattern | Outside
"""Leaves that an include leaves out."""
