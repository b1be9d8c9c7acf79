"""Reverses the patterns of a rule: right-hand sides capture, left-hand sides are filled."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from migrate.rules.expression import Expression, PatternError
from migrate.rules.model import Move
from migrate.rules.pattern import Pattern
from migrate.rules.syntax import Capture, Computed, LiteralText, Part, parse_segments
from migrate.tree import KeyPath, format_segment, join_segments

_KINDS = {"rest": ":**", "int": ":int"}
_SPECIAL = re.compile(r"([\\/{}*|])")


class _Irreversible(Exception):
    """A left-hand side cannot be computed from the right-hand side."""


@dataclass(frozen=True, slots=True)
class ReversedPatterns:
    """The patterns of an inverse rule."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]


def reverse(rule: Move, sources: Collection[KeyPath]) -> ReversedPatterns | None:
    """Returns the reversed patterns of a rule; None where arithmetic, a regular expression or a capture without a
    counterpart on the right prevents it.

    Args:
      rule: the rule.
      sources: source leaves that it claimed; they give the first number of a capture that was reduced.
    """
    if any(pattern.is_regex for pattern in rule.sources):
        return None
    spread = any(op.op.role == "extend" and op.over is None for op in rule.ops)
    targets = rule.targets if spread else rule.targets[:1]
    made = {op.over for op in rule.ops if op.op.role == "extend" and op.over}
    try:
        counted = {op.over: _start(op.over, rule, sources) for op in rule.ops if op.op.role == "reduce" and op.over}
        left = [_NewSource(rule, made) for _ in targets]
        texts = tuple(side.text(pattern) for side, pattern in zip(left, targets, strict=True))
        fillers = {name: _filler(name, start) for name, start in counted.items()} | _agreed(left)
        return ReversedPatterns(texts, tuple(_right(pattern, fillers) for pattern in rule.sources))
    except (_Irreversible, PatternError):
        return None


def _start(name: str, rule: Move, sources: Iterable[KeyPath]) -> int:
    """Returns the first number of a capture."""
    bound = (pattern.match(path) for path in sources for pattern in rule.sources)
    values = {str(bindings[name]) for bindings in bound if bindings is not None and name in bindings}
    if not values or not all(value.isdecimal() for value in values):
        raise _Irreversible
    return min(map(int, values))


def _filler(name: str, start: int) -> str:
    return f"{{{name}+{start}}}" if start else f"{{{name}}}"


@dataclass
class _NewSource:
    """A right-hand side as a new left-hand side; `fillers` holds the text that restores each old capture."""

    rule: Move
    made: Collection[str]
    fillers: dict[str, str] = field(default_factory=dict)

    def text(self, pattern: Pattern) -> str:
        """Returns the pattern as a left-hand side."""
        return join_segments(["".join(map(self._part, segment)) for segment in parse_segments(pattern.text)])

    def _part(self, part: Part) -> str:
        if isinstance(part, LiteralText):
            return format_segment(part.text)
        if isinstance(part, Computed):
            return self._computed(part.expression)
        if not part.name.isidentifier():
            return part.name.rstrip("0123456789")
        if part.name in self.made:
            return f"{{{part.name}}}"
        known = part.name in self.fillers
        if self.fillers.setdefault(part.name, f"{{{part.name}}}") != f"{{{part.name}}}":
            raise _Irreversible
        return f"{{{part.name}}}" if known else _declared(part.name, self.rule.sources)

    def _computed(self, expression: Expression) -> str:
        if len(expression.names) != 1 or expression.names[0] in self.fillers:
            raise _Irreversible
        name = expression.names[0]
        slope, offset = _line(expression, name)
        if name in self.made:
            if slope < 0:
                raise _Irreversible
        elif slope < 0:
            self.fillers[name] = f"{{{offset}-{name}}}"
        else:
            self.fillers[name] = f"{{{name}{-offset:+d}}}" if offset else f"{{{name}}}"
        return f"{{{name}}}"


def _line(expression: Expression, name: str) -> tuple[int, int]:
    """Returns slope (1 or -1) and offset of a linear expression."""
    for numbers in ((100, 101, 107, 250), (0, 1)):  # an expression that counts down has no value for large numbers
        try:
            values = [expression.evaluate({name: str(number)}) for number in numbers]
        except PatternError:
            continue
        slope, offset = values[1] - values[0], values[0] - (values[1] - values[0]) * numbers[0]
        if abs(slope) == 1 and values == [slope * number + offset for number in numbers]:
            return slope, offset
    raise _Irreversible


def _declared(name: str, sources: Sequence[Pattern]) -> str:
    """Returns a capture with its kind, as the left-hand sides of the rule declare it."""
    for capture in _captures(sources):
        if capture.name == name:
            if capture.kind == "choice":
                choices = "|".join(_SPECIAL.sub(r"\\\1", choice) for choice in capture.choices)
                return f"{{{name}:{choices}}}"
            return f"{{{name}{_KINDS.get(capture.kind, '')}}}"
    raise _Irreversible


def _captures(patterns: Iterable[Pattern]) -> Iterator[Capture]:
    for pattern in patterns:
        for segment in parse_segments(pattern.text):
            yield from (part for part in segment if isinstance(part, Capture))


def _agreed(sides: Sequence[_NewSource]) -> dict[str, str]:
    """Returns the fillers of all new left-hand sides, which must agree."""
    fillers = sides[0].fillers
    if any(side.fillers != fillers for side in sides):
        raise _Irreversible
    return fillers


def _right(pattern: Pattern, fillers: Mapping[str, str]) -> str:
    segments = parse_segments(pattern.text)
    return join_segments(["".join(_filled(part, fillers) for part in segment) for segment in segments])


def _filled(part: Part, fillers: Mapping[str, str]) -> str:
    if isinstance(part, LiteralText):
        return format_segment(part.text)
    if isinstance(part, Computed) or (part.name.isidentifier() and part.name not in fillers):
        raise _Irreversible
    return fillers[part.name] if part.name.isidentifier() else part.name.rstrip("0123456789")
