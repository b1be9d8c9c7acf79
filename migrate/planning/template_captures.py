"""The values that captures of a rule's targets have among the key paths of a template."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache

from migrate.rules.pattern import Bindings, Pattern
from migrate.tree import AbstractTree, KeyPath

_Values = tuple[str | KeyPath, ...]


class TemplateCaptures:
    """Counts values of captures; the template's key paths are matched once for all tasks of a rule.

    Attributes:
      template: the target's tree; None if it is unknown.
    """

    def __init__(self, targets: Sequence[Pattern], template: AbstractTree | None) -> None:
        """Keeps the targets of a rule and the template."""
        self.template = template
        self._targets = targets
        self._found = cache(self._values)

    def count(self, over: str, known: Bindings) -> int | None:
        """Returns the number of integers that a capture has in the template where others have known values.

        Args:
          over: the name of the capture.
          known: the values of other captures; names that a target lacks are ignored.

        Returns:
          The number, or None without a template and where no key path fits.
        """
        if self.template is None:
            return None
        values: set[str] = set()
        for at, pattern in enumerate(self._targets):
            if over in pattern.captures:
                names = tuple(name for name in pattern.captures if name in known)
                values |= self._found(at, over, names).get(tuple(known[name] for name in names), set())
        return sum(value.isdecimal() for value in values) or None

    def _values(self, at: int, over: str, names: tuple[str, ...]) -> Mapping[_Values, set[str]]:
        """Returns the values of `over` in the key paths that a target matches, by the values of other captures."""
        found: defaultdict[_Values, set[str]] = defaultdict(set)
        for path in self.template.leaves if self.template else ():
            if bindings := self._targets[at].match(path):
                found[tuple(bindings[name] for name in names)].add(str(bindings[over]))
        return found
