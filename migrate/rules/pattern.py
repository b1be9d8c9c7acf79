"""Patterns: match key paths, capture text from them, and fill captured text into new key paths.

`migrate.rules.syntax` describes the language. Patterns involve no arrays.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from migrate.rules.expression import PatternError
from migrate.rules.matching import Bindings, Matcher, conditions_of, names_of, regex_matcher, segment_matcher
from migrate.rules.syntax import Capture, Computed, LiteralText, Part, Segment, is_rest, parse_segments
from migrate.source_names import SourceSegment
from migrate.tree import KeyPath

__all__ = ["Bindings", "Pattern", "PatternError"]


_SOURCE = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*):(?=/|$)")


def _source_of(text: str) -> str | None:
    found = _SOURCE.match(text)
    return found[1] if found else None


def _of_main_source(matcher: Matcher) -> Matcher:
    """Returns a matcher that matches no leaf of a named source, whose key paths only patterns with its name match."""
    return lambda path: None if path and isinstance(path[0], SourceSegment) else matcher(path)


@dataclass(frozen=True, slots=True)
class _Placeholder:
    """A part without a value: its source and, for an expression, the known values of its names."""

    source: object
    known: tuple[tuple[str, str | KeyPath], ...] = ()


@dataclass(frozen=True, slots=True)
class Pattern:
    """One side of a rule; created by `Pattern.parse` or `Pattern.regex`.

    Attributes:
      text: the text in the rule file.
      captures: the names that `match` binds, from left to right, those of linear expressions included; unnamed
        wildcards are `*0`, `**0` and so on.
      names: all names that `fill` needs: the captures and the names in expressions.
      is_regex: whether it is a regular expression, which cannot be filled.
    """

    text: str
    captures: tuple[str, ...] = field(compare=False)
    names: frozenset[str] = field(compare=False)
    is_regex: bool
    _segments: tuple[Segment, ...] = field(compare=False, repr=False)
    _match: Matcher = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Parses the text of a pattern.

        Raises:
          PatternError: the text is invalid; `offset` and `length` give the location.
        """
        return _parsed(text)

    @classmethod
    def regex(cls, text: str) -> Pattern:
        """Returns a pattern for a regular expression over the whole text of a key path; named groups are captures.

        Raises:
          PatternError: it is not a valid regular expression.
        """
        matcher, names = regex_matcher(text)
        return cls(text, names, frozenset(names), True, (), matcher if _source_of(text) else _of_main_source(matcher))

    def __str__(self) -> str:
        return self.text

    def below(self, place: Pattern) -> Pattern:
        """Returns the pattern for key paths below a place, which must not contain unnamed wildcards.

        Raises:
          PatternError: the two cannot be joined, for example because both declare one name differently.
        """
        if place.text == ".":
            return self
        return Pattern.parse(place.text if self.text == "." else f"{place.text}/{self.text}")

    @property
    def source(self) -> str | None:
        """The name of a source with which it begins, as in `lora:/model/**`; None if it has the form of none."""
        return _source_of(self.text)

    @property
    def is_literal(self) -> bool:
        """Whether it matches exactly one key path."""
        return not self.is_regex and all(
            isinstance(part, LiteralText) for segment in self._segments for part in segment
        )

    def match(self, path: KeyPath) -> Bindings | None:
        """Returns the captures from a key path; None if it does not match."""
        return self._match(path)

    def admits(self, bindings: Bindings) -> bool:
        """Returns whether captured text satisfies the conditions, as far as it has the names that they use."""
        known = [one for one in conditions_of(self._segments) if bindings.keys() >= set(one.names)]
        return all(one.holds(bindings) for one in known)

    def fill(self, bindings: Bindings) -> KeyPath:
        """Returns the key path with captured text in place of the names.

        Raises:
          PatternError: a name has no value or an unsuitable one (not an integer in an expression, several segments
            inside one), or a segment would be empty.
        """
        filled: list[str] = []
        for segment in self.key(bindings):
            if not isinstance(segment, str):
                raise PatternError(f"{_missing(segment)} has no value")
            filled.append(segment)
        return tuple(filled)

    def key(self, bindings: Bindings) -> tuple[object, ...]:
        """Returns a grouping key, which is equal for two bindings if and only if they fill the pattern identically.

        Names may still be missing, so that the sources of one target can be grouped before `unstack` or `split` creates
        the new names on the right. If none is missing, the key is the filled key path.

        Raises:
          PatternError: as for `fill`, except for missing names.
        """
        if self.is_regex:
            raise PatternError("a regular expression cannot be filled; use it only on the left")
        pieces: list[object] = []
        for segment in self._segments:
            pieces += _filled(segment, bindings)
        return tuple(pieces)

    def distinguishes(self, name: str) -> bool:
        """Whether different values of a name always fill the pattern differently; `{i//2}` and `{i%6}` group them."""
        parts = [part for segment in self._segments for part in segment if not isinstance(part, LiteralText)]
        return any(
            name in names_of(part) and not (isinstance(part, Computed) and part.expression.groups) for part in parts
        )

    def find(self, name: str) -> tuple[int, int]:
        """Returns offset and length of the first use of a name in the text; the whole text if it is not found."""
        for part in (part for segment in self._segments for part in segment):
            if not isinstance(part, LiteralText) and name in names_of(part):
                return part.offset, part.length
        return 0, len(self.text)

    @property
    def is_conditional(self) -> bool:
        """Whether a capture has a condition."""
        return bool(conditions_of(self._segments))

    def left_side_errors(self) -> Iterator[PatternError]:
        """Yields the errors of the pattern on the left-hand side: adjacent wildcards, and arithmetic that does not
        determine its names.
        """
        for segment in self._segments:
            yield from self._undetermined(segment)
            yield from map(_ambiguity, filter(_ambiguous, pairwise(segment)))
        for left, right in pairwise(self._segments):
            if is_rest(left) and is_rest(right):
                yield _ambiguity((left[0], right[0]))

    def right_side_errors(self) -> Iterator[PatternError]:
        """Yields the errors of the pattern on the right-hand side: conditions, which only matches satisfy."""
        for part in (part for segment in self._segments for part in segment):
            if isinstance(part, Capture) and part.where is not None:
                message = f"a condition is allowed only on the left-hand side; write `{{{part.name}}}` here"
                yield PatternError(message, part.offset, part.length)

    def _undetermined(self, segment: Segment) -> Iterator[PatternError]:
        for part in segment:
            if isinstance(part, Computed) and not set(part.expression.names) <= set(self.captures):
                name = part.expression.names[0]
                message = (
                    f"arithmetic on the left-hand side has to be linear in one name, such as `{{2*{name}+1}}`; for all "
                    f"else, capture the number with a condition, such as `{{{name}:int where {name}%2==1}}`"
                )
                yield PatternError(message, part.offset, part.length)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Pattern:
    """Returns the pattern of a text, parsed and compiled once: files of one family share most of their patterns."""
    segments = parse_segments(text)
    parts = [part for segment in segments for part in segment]
    captures = tuple(dict.fromkeys(name for part in parts if (name := _bound(part)) is not None))
    _check_conditions(parts, captures)
    computed = {name for part in parts if isinstance(part, Computed) for name in part.expression.names}
    matcher = segment_matcher(segments)
    if segments and not (len(segments[0]) == 1 and isinstance(segments[0][0], LiteralText)):
        matcher = _of_main_source(matcher)
    return Pattern(text, captures, frozenset(computed).union(captures), False, segments, matcher)


def _filled(segment: Segment, bindings: Bindings) -> tuple[object, ...]:
    """Returns the segments that fill one segment of a pattern: usually one, any number for `**`."""
    if len(segment) == 1 and isinstance(part := segment[0], LiteralText):
        return (part.text,)
    if len(segment) == 1 and isinstance(part, Capture):
        value = bindings.get(part.name)
        if isinstance(value, tuple):
            return value
        if value is None:
            return (_Placeholder(part.name),)
    pieces: list[object] = []
    for piece in (_piece(part, bindings) for part in segment):
        if isinstance(piece, str) and pieces and isinstance(last := pieces[-1], str):
            pieces[-1] = last + piece
        else:
            pieces.append(piece)
    if pieces == [""]:
        raise PatternError("a segment would be empty")
    if len(pieces) > 1:
        return (tuple(pieces),)
    whole = pieces[0]
    return (sys.intern(whole) if isinstance(whole, str) else whole,)  # many key paths have few segments


def _piece(part: Part, bindings: Bindings) -> object:
    if isinstance(part, LiteralText):
        return part.text
    if isinstance(part, Computed):
        return _computed(part, bindings)
    value = bindings.get(part.name)
    if value is None:
        return _Placeholder(part.name)
    if isinstance(value, tuple) and len(value) > 1:
        raise PatternError(
            f"`{part.name}` is `{'/'.join(value)}`, which is more than one segment", part.offset, part.length
        )
    return value if isinstance(value, str) else "".join(value)


def _computed(part: Computed, bindings: Bindings) -> object:
    expression = part.expression
    if not bindings.keys() >= set(expression.names):
        known = tuple((name, bindings[name]) for name in expression.names if name in bindings)
        return _Placeholder(expression.source, known)
    return str(expression.evaluate(bindings))


def _missing(segment: object) -> str:
    parts = segment if isinstance(segment, tuple) else (segment,)
    return " and ".join(f"`{part.source}`" for part in parts if isinstance(part, _Placeholder))


def _bound(part: Part) -> str | None:
    """Returns the name that a part of a pattern captures, or None."""
    if isinstance(part, Capture):
        return part.name
    return part.expression.names[0] if isinstance(part, Computed) and part.expression.line is not None else None


def _check_conditions(parts: Sequence[Part], captures: Sequence[str]) -> None:
    """Refuses conditions on names that are captured nowhere, or captured as text."""
    kinds = {part.name: part.kind for part in parts if isinstance(part, Capture)}
    for part in parts:
        where = part.where if isinstance(part, Capture) else None
        for name in where.names if where else ():
            if name not in captures or kinds.get(name, "int") != "int":
                why = f"write `{{{name}:int}}`" if name in kinds else "the pattern does not capture it"
                message = f"the condition `{where}` uses `{name}`, which is not an integer: {why}"
                raise PatternError(message, part.offset, part.length)  # type: ignore[union-attr]


def _open_ended(part: Part) -> bool:
    return isinstance(part, Computed) or (isinstance(part, Capture) and part.kind != "choice")


def _ambiguous(pair: tuple[Part, Part]) -> bool:
    return _open_ended(pair[0]) and _open_ended(pair[1])


def _ambiguity(pair: tuple[Part, Part]) -> PatternError:
    second = pair[1]
    assert not isinstance(second, LiteralText)
    return PatternError(
        "two wildcards are adjacent, so the end of the first is ambiguous", second.offset, second.length
    )
