"""Reverses the patterns of a rule: right-hand sides capture, left-hand sides are filled."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from migrate.planning.invert.indices import linear, reverse_indices, samples
from migrate.rules.condition import Condition
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
      sources: source leaves that it claimed; they give the numbers of a capture that was reduced. Without any, the
        numbers are the first ones that its pattern admits.
    """
    if any(pattern.is_regex for pattern in rule.sources):
        return None
    spread = any(op.op.role == "extend" and op.over is None for op in rule.ops)
    targets = rule.targets if spread else rule.targets[:1]
    made = {op.over for op in rule.ops if op.op.role == "extend" and op.over}
    reduced = {op.over for op in rule.ops if op.op.role == "reduce" and op.over}
    try:
        left = [_NewSource(rule, made, reduced, pattern) for pattern in targets]
        texts = tuple(side.text() for side in left)
        used = {name for pattern in targets for name in pattern.names}
        fillers = {name: _counted(name, rule, sources) for name in reduced - used} | _agreed(left)
        return ReversedPatterns(texts, tuple(_right(pattern, fillers, used) for pattern in rule.sources))
    except (_Irreversible, PatternError):
        return None


def _counted(name: str, rule: Move, sources: Iterable[KeyPath]) -> str:
    """Returns the expression of a capture that was reduced over its position."""
    bound = (pattern.match(path) for path in sources for pattern in rule.sources)
    values = {str(bindings[name]) for bindings in bound if bindings is not None and name in bindings}
    if not all(value.isdecimal() for value in values):
        raise _Irreversible
    numbers = sorted(map(int, values)) or samples(name, _condition(name, rule.sources))
    steps = {b - a for a, b in pairwise(numbers)}
    if not numbers or len(steps) > 1:
        raise _Irreversible
    return linear({name: steps.pop() if steps else 1}, numbers[0])


def _condition(name: str, sources: Sequence[Pattern]) -> Condition | None:
    """Returns the condition of a capture."""
    return next((one.where for one in _captures(sources) if one.name == name and one.where is not None), None)


@dataclass
class _NewSource:
    """A right-hand side as a new left-hand side.

    Attributes:
      fillers: the expression that restores each old capture.
      written: the text of each part with arithmetic, by its position in the pattern.
    """

    rule: Move
    made: Collection[str]
    reduced: Collection[str]
    pattern: Pattern
    fillers: dict[str, str] = field(default_factory=dict)
    written: dict[int, str] = field(default_factory=dict)

    def text(self) -> str:
        """Returns the pattern as a left-hand side."""
        segments = parse_segments(self.pattern.text)
        parts = [part for segment in segments for part in segment]
        direct = {part.name for part in parts if isinstance(part, Capture)} - set(self.reduced)
        computed = [part for part in parts if isinstance(part, Computed)]
        for name in dict.fromkeys(name for part in computed for name in part.expression.names):
            if name not in direct:
                self._reverse(name, [part for part in computed if name in part.expression.names])
        return join_segments(["".join(map(self._part, segment)) for segment in segments])

    def _part(self, part: Part) -> str:
        if isinstance(part, LiteralText):
            return format_segment(part.text)
        if isinstance(part, Computed):
            return self.written.get(part.offset, f"{{{part.expression.source}}}")
        if not part.name.isidentifier():
            return part.name.rstrip("0123456789")
        if part.name in self.made:
            return f"{{{part.name}}}"
        known = part.name in self.fillers
        self.fillers[part.name] = part.name
        return f"{{{part.name}}}" if known else _declared(part.name, self.rule.sources)

    def _reverse(self, name: str, parts: Sequence[Computed]) -> None:
        """Writes captures in place of expressions of one name, and the expression that restores it."""
        if any(part.expression.names != (name,) for part in parts):
            raise _Irreversible
        if name in self.made:
            self._count(name, parts)
            return
        condition = _condition(name, self.rule.sources)
        unique = list(dict.fromkeys(part.expression for part in parts))
        rank = name if name in self.reduced else None
        taken = {*self.pattern.names, *(one for pattern in self.rule.sources for one in pattern.names)}
        fresh = [letter for letter in "jklmnopq" if letter not in taken]
        names = [*fresh] if rank else [name, *fresh]
        results = list(zip(names, unique, strict=False))
        found = reverse_indices(name, results, condition, rank)
        if found is None:
            raise _Irreversible
        plain = len(unique) == 1 and abs((unique[0].line or (0, 0))[0]) == 1
        for (result, expression), where in zip(results, found.conditions, strict=False):
            kind = f":int where {where}" if where else "" if plain else ":int"
            for at, part in enumerate(part for part in parts if part.expression == expression):
                self.written[part.offset] = f"{{{result}}}" if at else f"{{{result}{kind}}}"
        self.fillers[name] = found.filler

    def _count(self, name: str, parts: Sequence[Computed]) -> None:
        """Writes a capture in place of the numbers that an op counted upwards."""
        for part in parts:
            if (part.expression.line or (0, 0))[0] != 1 or len(parts) > 1:
                raise _Irreversible
            self.written[part.offset] = f"{{{name}}}"


def _declared(name: str, sources: Sequence[Pattern]) -> str:
    """Returns a capture with its kind, as the left-hand sides of the rule declare it."""
    for capture in _captures(sources):
        if capture.name == name:
            if capture.kind == "choice":
                choices = "|".join(_SPECIAL.sub(r"\\\1", choice) for choice in capture.choices)
                return f"{{{name}:{choices}}}"
            where = f" where {capture.where}" if capture.where else ""
            return f"{{{name}{_KINDS.get(capture.kind, '')}{where}}}"
    if any(name in pattern.captures for pattern in sources):
        return f"{{{name}:int}}"
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


def _right(pattern: Pattern, fillers: Mapping[str, str], known: Collection[str]) -> str:
    """Returns a left-hand side as a right-hand side; a `**` that the other side lacks is taken for no segment."""
    segments = [segment for segment in parse_segments(pattern.text) if not _is_absent(segment[0], known)]
    return join_segments(["".join(_filled(part, fillers) for part in segment) for segment in segments])


def _is_absent(part: Part, known: Collection[str]) -> bool:
    return isinstance(part, Capture) and part.kind == "rest" and part.name not in known


def _filled(part: Part, fillers: Mapping[str, str]) -> str:
    if isinstance(part, LiteralText):
        return format_segment(part.text)
    if isinstance(part, Computed):
        return f"{{{_substituted(part.expression, fillers)}}}"
    if not part.name.isidentifier():
        return part.name.rstrip("0123456789")
    if part.name not in fillers:
        raise _Irreversible
    return f"{{{fillers[part.name]}}}"


def _substituted(expression: Expression, fillers: Mapping[str, str]) -> str:
    """Returns the text of an expression with the fillers in place of names."""
    if not fillers.keys() >= set(expression.names):
        raise _Irreversible
    texts = {name: fillers[name] if fillers[name].isidentifier() else f"({fillers[name]})" for name in expression.names}
    return re.sub(r"[A-Za-z_]\w*", lambda name: texts[name[0]], expression.source)
