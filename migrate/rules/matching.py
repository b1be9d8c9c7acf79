"""Matches patterns to key paths with one compiled regular expression, after fast checks that reject most key paths.

Key paths of real models are matched by `re`; where a pattern with many wildcards meets a key path so long that `re`
could try millions of divisions, RE2 matches it in linear time.

A large checkpoint has ten thousand leaves and a long rule file hundreds of patterns, so most comparisons fail. If a
text can be divided in several ways, an earlier wildcard takes as much as possible.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from typing import Any

from migrate.codes import InvalidPattern
from migrate.errors import PlanError
from migrate.rules.condition import Condition
from migrate.rules.expression import PatternError
from migrate.rules.linear_regex import compile_re2, compile_regex, escape_re2
from migrate.rules.syntax import Capture, Computed, LiteralText, Part, Segment, is_rest
from migrate.tree import KeyPath, format_path, parse_path

Bindings = Mapping[str, str | KeyPath]
"""The captures of a match, from left to right: text inside a segment, or a tuple of whole segments for `**`."""

Matcher = Callable[[KeyPath], Bindings | None]

_MOST_DIVISIONS = 10_000_000
_END = "\0"  # ends every segment; no real key contains it, and wildcards match no key that does


def segment_matcher(segments: Sequence[Segment]) -> Matcher:
    """Returns a matcher for parsed segments."""
    if all(_literal(segment) is not None for segment in segments):
        literal = tuple(_literal(segment) or "" for segment in segments)
        return lambda path: {} if path == literal else None
    return _SegmentMatcher(segments)


class _SegmentMatcher:
    """Compares length, literal prefix and literal suffix before it runs the regular expression."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._prefix = _literals(segments)
        self._suffix = _literals(segments[::-1])[::-1]
        self._length = sum(not is_rest(segment) for segment in segments)
        self._exact_length = self._length == len(segments)
        self._compiler = _Compiler()
        self._expression = "".join(map(self._compiler.segment, segments))
        self._segments = segments
        self._rests = len(segments) - self._length
        self._conditions = conditions_of(segments)
        self._extra = sum(max(sum(not isinstance(part, LiteralText) for part in s) - 1, 0) for s in segments)

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        """The regular expression, compiled on first use: patterns of targets are filled and never matched."""
        return re.compile(self._expression, re.DOTALL)

    @cached_property
    def _linear(self) -> Any:
        """The same expression for RE2, which has no backreferences; None for a pattern that uses a name twice."""
        return None if self._compiler.repeats else compile_re2("".join(map(_linear_segment, self._segments)))

    def __call__(self, path: KeyPath) -> Bindings | None:
        if len(path) != self._length and (self._exact_length or len(path) < self._length):
            return None
        if path[: len(self._prefix)] != self._prefix or path[len(path) - len(self._suffix) :] != self._suffix:
            return None
        text = _END.join((*path, ""))
        if text.count(_END) != len(path):
            return None
        found = self._regex.fullmatch(text) if self._is_fast(path) else self._match_slowly(text, path)
        return self._bindings(found.groups()) if found else None

    def _is_fast(self, path: KeyPath) -> bool:
        """Whether the divisions of a key path among the wildcards, each of which `re` may try, are few enough."""
        if not self._extra and self._rests <= 1:
            return True
        divisions = (len(path) + 1) ** self._rests * max(map(len, path), default=0) ** self._extra
        return bool(divisions <= _MOST_DIVISIONS)

    def _match_slowly(self, text: str, path: KeyPath) -> Any:
        if self._linear is None:
            message = f"a pattern that uses a name twice cannot be compared with a key path of {len(text):,} characters"
            advice = "use different names in `from`, or name the key path literally"
            raise PlanError(InvalidPattern.at(message, paths=(format_path(path),), help=advice))
        return _linear_match(self._linear, text)

    def _bindings(self, texts: Sequence[str]) -> Bindings | None:
        bindings: dict[str, str | KeyPath] = {}
        computed: list[tuple[Computed, str]] = []
        for part, text in zip(self._compiler.groups, texts, strict=True):
            if isinstance(part, Capture):
                bindings[part.name] = tuple(text.split(_END)[:-1]) if part.kind == "rest" else text
            else:
                computed.append((part, text))
        if computed:
            bindings = self._solved(bindings, computed)
        agrees = all(_agrees(part, text, bindings) for part, text in computed)
        return bindings if agrees and all(one.holds(bindings) for one in self._conditions) else None

    def _solved(
        self, bindings: Mapping[str, str | KeyPath], computed: Iterable[tuple[Computed, str]]
    ) -> dict[str, str | KeyPath]:
        """Returns the captures with the names of linear expressions that nothing else captures, from left to right.

        A name that no integer satisfies is left at a value with which the expression does not agree.
        """
        found = dict(bindings)
        for part, text in computed:
            if part.expression.line is not None:
                found.setdefault(part.expression.names[0], part.expression.solve(text) or "")
        order = [name for part in self._compiler.groups for name in names_of(part)]
        return {name: found[name] for name in dict.fromkeys(order) if name in found}


def names_of(part: Capture | Computed) -> tuple[str, ...]:
    """Returns the names that a part of a pattern uses."""
    return (part.name,) if isinstance(part, Capture) else part.expression.names


def conditions_of(segments: Iterable[Segment]) -> tuple[Condition, ...]:
    """Returns the conditions of the captures in a pattern."""
    parts = [part for segment in segments for part in segment]
    return tuple(part.where for part in parts if isinstance(part, Capture) and part.where is not None)


def _agrees(part: Computed, text: str, bindings: Bindings) -> bool:
    """Whether an expression equals the text in the key path; always true if it uses unknown names."""
    if not bindings.keys() >= set(part.expression.names):
        return True
    try:
        return str(part.expression.evaluate(bindings)) == text
    except PatternError:
        return False


class _Compiler:
    """Translates segments to the source of one regular expression, in which every segment ends with `_END`."""

    def __init__(self) -> None:
        self.groups: list[Capture | Computed] = []
        self.repeats = False
        self._numbers: dict[str, int] = {}

    def segment(self, segment: Segment) -> str:
        if is_rest(segment):
            return self._part(segment[0])
        body = "".join(map(self._part, segment))
        return f"(?!{_END}){body}{_END}" if body else _END

    def _part(self, part: Part) -> str:
        if isinstance(part, LiteralText):
            return re.escape(part.text)
        if isinstance(part, Capture) and part.name in self._numbers:
            self.repeats = True
            return f"(?:\\{self._numbers[part.name]})"
        self.groups.append(part)
        if isinstance(part, Capture):
            self._numbers[part.name] = len(self.groups)
        return f"({_body(part)})"


def _linear_segment(segment: Segment) -> str:
    """Returns a segment in RE2's syntax, which has no lookahead: only a lone `*` could match an empty segment."""
    if len(segment) == 1 and isinstance(part := segment[0], Capture) and part.kind in ("glob", "rest"):
        return r"([^\x00]+)\x00" if part.kind == "glob" else r"((?:[^\x00]*\x00)*)"
    return "".join(map(_linear_part, segment)) + r"\x00"


def _linear_part(part: Part) -> str:
    if isinstance(part, LiteralText):
        return escape_re2(part.text)
    if isinstance(part, Capture) and part.kind == "choice":
        return f"({'|'.join(map(escape_re2, part.choices))})"
    return f"({_body(part)})".replace(_END, r"\x00")


def _body(part: Capture | Computed) -> str:
    if isinstance(part, Computed):
        return "[0-9]+"
    match part.kind:
        case "run":
            return f"[^{_END}]+"
        case "glob":
            return f"[^{_END}]*"
        case "int":
            return "[0-9]+"
        case "choice":
            return "|".join(map(re.escape, part.choices))
        case "rest":
            return f"(?:[^{_END}]*{_END})*"


def _literal(segment: Segment) -> str | None:
    part = segment[0]
    return part.text if isinstance(part, LiteralText) and len(segment) == 1 else None


def _literals(segments: Sequence[Segment]) -> KeyPath:
    return tuple(text for text in takewhile(lambda text: text is not None, map(_literal, segments)) if text is not None)


def regex_matcher(text: str) -> tuple[Matcher, tuple[str, ...]]:
    """Returns a matcher for a regular expression over the whole text of a key path, and the names of its groups.

    A group that spans several segments captures a tuple of them; a group without text captures the empty tuple.

    Raises:
      PatternError: it is not a valid regular expression, or it cannot be matched in linear time.
    """
    regex = compile_regex(text)
    names = tuple(sorted(regex.groupindex, key=regex.groupindex.get))

    def match(path: KeyPath) -> Bindings | None:
        found = _linear_match(regex, format_path(path))
        return {name: _captured(found[name]) for name in names} if found else None

    return match, names


def _linear_match(regex: Any, text: str) -> Any:
    """Returns the match of a whole text, or None; a lone surrogate, which UTF-8 cannot encode, matches nothing."""
    try:
        return regex.fullmatch(text)
    except UnicodeEncodeError:
        return None


def _captured(text: str | None) -> str | KeyPath:
    if not text:
        return ()
    if text == ".":  # a key inside a longer path, which `parse_path` would read as the root
        return text
    segments = parse_path(text)
    inner = segments[not segments[0] : len(segments) - (not segments[-1])]
    return inner[0] if len(inner) == 1 else inner
