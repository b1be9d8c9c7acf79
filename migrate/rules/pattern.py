"""Patterns: which key paths a rule means, what it captures from them, and where the captured text goes.

The language is described in `migrate.rules.syntax`. Patterns never see arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from migrate.rules.expression import PatternError
from migrate.rules.matching import Bindings, Matcher, regex_matcher, segment_matcher
from migrate.rules.syntax import Capture, Computed, Part, Segment, Text, is_rest, parse_segments
from migrate.tree import KeyPath

__all__ = ["Bindings", "Pattern", "PatternError"]


@dataclass(frozen=True, slots=True)
class _Hole:
    """A part without a value: its source and, for an expression, the values that it does have."""

    source: object
    known: tuple[tuple[str, str | KeyPath], ...] = ()


@dataclass(frozen=True, slots=True)
class Pattern:
    """One side of a rule; make it with `Pattern.parse` or `Pattern.regex`.

    Attributes:
      text: as it stands in the rule file.
      captures: the names that `match` binds, from left to right; unnamed wildcards are `*0`, `**0` and so on.
      names: every name that `fill` needs: the captures and those in expressions.
      is_regex: whether it is a regular expression; such a pattern cannot be filled.
    """

    text: str
    captures: tuple[str, ...] = field(compare=False)
    names: frozenset[str] = field(compare=False)
    is_regex: bool
    _segments: tuple[Segment, ...] = field(compare=False, repr=False)
    _match: Matcher = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """A pattern from its text.

        Raises:
          PatternError: the text is no pattern; `offset` and `length` say where.
        """
        segments = parse_segments(text)
        parts = [part for segment in segments for part in segment]
        captures = tuple(dict.fromkeys(part.name for part in parts if isinstance(part, Capture)))
        computed = {name for part in parts if isinstance(part, Computed) for name in part.expression.names}
        return cls(text, captures, frozenset(computed).union(captures), False, segments, segment_matcher(segments))

    @classmethod
    def regex(cls, text: str) -> Pattern:
        """A regular expression that must match the whole of what `format_path` prints; its named groups are captures.

        Raises:
          PatternError: it is no regular expression.
        """
        matcher, names = regex_matcher(text)
        return cls(text, names, frozenset(names), True, (), matcher)

    def __str__(self) -> str:
        return self.text

    def below(self, place: Pattern) -> Pattern:
        """The same pattern for key paths below a place, which has no unnamed wildcards of its own.

        Raises:
          PatternError: the two do not go together, as when both declare one name differently.
        """
        if place.text == ".":
            return self
        return Pattern.parse(place.text if self.text == "." else f"{place.text}/{self.text}")

    @property
    def is_literal(self) -> bool:
        """Whether it matches one key path only."""
        return not self.is_regex and all(isinstance(part, Text) for segment in self._segments for part in segment)

    def match(self, path: KeyPath) -> Bindings | None:
        """What it captures from a key path; None when it does not match."""
        return self._match(path)

    def fill(self, bindings: Bindings) -> KeyPath:
        """The key path that it becomes with captured text in the places of its names.

        Raises:
          PatternError: a name has no value or does not fit (not an integer in an expression, several segments inside
            one), or a segment would be empty.
        """
        filled: list[str] = []
        for segment in self.key(bindings):
            if not isinstance(segment, str):
                raise PatternError(f"nothing says what goes into {_missing(segment)}")
            filled.append(segment)
        return tuple(filled)

    def key(self, bindings: Bindings) -> tuple[object, ...]:
        """A grouping key: equal for two bindings exactly when they fill the pattern alike, whatever is still missing.

        With nothing missing it is the filled key path. So sources of one target are grouped before `unstack` or `split`
        has made the names that are new on the right.

        Raises:
          PatternError: as for `fill`, but for missing names.
        """
        if self.is_regex:
            raise PatternError("a regular expression has no key path to fill; it can only stand on the left")
        return tuple(piece for segment in self._segments for piece in _filled(segment, bindings))

    def find(self, name: str) -> tuple[int, int]:
        """Where the text first uses a name, as offset and length; all of the text when that is not known."""
        for part in (part for segment in self._segments for part in segment):
            if not isinstance(part, Text) and name in _names(part):
                return part.offset, part.length
        return 0, len(self.text)

    def misuses_as_source(self) -> Iterator[PatternError]:
        """What keeps it from standing on the left: arithmetic, and wildcards that nothing tells apart."""
        for segment in self._segments:
            yield from _arithmetic(segment)
            yield from map(_ambiguity, filter(_ambiguous, pairwise(segment)))
        for left, right in pairwise(self._segments):
            if is_rest(left) and is_rest(right):
                yield _ambiguity((left[0], right[0]))


def _filled(segment: Segment, bindings: Bindings) -> tuple[object, ...]:
    """The segments that one segment of a pattern becomes: as a rule one, but a `**` may be none or many."""
    if len(segment) == 1 and isinstance(part := segment[0], Capture):
        value = bindings.get(part.name)
        if isinstance(value, tuple):
            return value
        if value is None:
            return (_Hole(part.name),)
    pieces: list[object] = []
    for piece in (_piece(part, bindings) for part in segment):
        if isinstance(piece, str) and pieces and isinstance(last := pieces[-1], str):
            pieces[-1] = last + piece
        else:
            pieces.append(piece)
    if pieces == [""]:
        raise PatternError("a segment would be empty")
    return (pieces[0],) if len(pieces) == 1 else (tuple(pieces),)


def _piece(part: Part, bindings: Bindings) -> object:
    if isinstance(part, Text):
        return part.text
    if isinstance(part, Computed):
        return _computed(part, bindings)
    value = bindings.get(part.name)
    if value is None:
        return _Hole(part.name)
    if isinstance(value, tuple) and len(value) > 1:
        raise PatternError(
            f"`{part.name}` is `{'/'.join(value)}`, which does not fit inside one segment", part.offset, part.length
        )
    return "".join(value)


def _computed(part: Computed, bindings: Bindings) -> object:
    expression = part.expression
    if not bindings.keys() >= set(expression.names):
        known = tuple((name, bindings[name]) for name in expression.names if name in bindings)
        return _Hole(expression.source, known)
    return str(expression.evaluate(bindings))


def _missing(segment: object) -> str:
    holes = segment if isinstance(segment, tuple) else (segment,)
    return " and ".join(f"`{hole.source}`" for hole in holes if isinstance(hole, _Hole))


def _names(part: Capture | Computed) -> tuple[str, ...]:
    return (part.name,) if isinstance(part, Capture) else part.expression.names


def _arithmetic(segment: Segment) -> Iterator[PatternError]:
    for part in segment:
        if isinstance(part, Computed):
            yield PatternError(
                "arithmetic belongs on the right-hand side; here, capture a name", part.offset, part.length
            )


def _open_ended(part: Part) -> bool:
    return isinstance(part, Computed) or (isinstance(part, Capture) and part.kind != "choice")


def _ambiguous(pair: tuple[Part, Part]) -> bool:
    return _open_ended(pair[0]) and _open_ended(pair[1])


def _ambiguity(pair: tuple[Part, Part]) -> PatternError:
    second = pair[1]
    assert not isinstance(second, Text)
    return PatternError(
        "two wildcards stand side by side, and nothing tells where the first one ends", second.offset, second.length
    )
