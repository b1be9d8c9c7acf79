"""Matches patterns to key paths with one compiled regular expression, after fast checks that reject most key paths.

A large checkpoint has ten thousand leaves and a long rule file hundreds of patterns, so most comparisons fail. If a
text can be divided in several ways, an earlier wildcard takes as much as possible.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import takewhile

from migrate.rules.expression import PatternError
from migrate.rules.syntax import Capture, Computed, LiteralText, Part, Segment, is_rest
from migrate.tree import KeyPath, format_path, parse_path

Bindings = Mapping[str, str | KeyPath]
"""The captures of a match, from left to right: text inside a segment, or a tuple of whole segments for `**`."""

Matcher = Callable[[KeyPath], Bindings | None]

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

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        """The regular expression, compiled on first use: patterns of targets are filled and never matched."""
        return re.compile(self._expression, re.DOTALL)

    def __call__(self, path: KeyPath) -> Bindings | None:
        if len(path) != self._length and (self._exact_length or len(path) < self._length):
            return None
        if path[: len(self._prefix)] != self._prefix or path[len(path) - len(self._suffix) :] != self._suffix:
            return None
        found = self._regex.fullmatch(_END.join((*path, "")))
        if found is None or any(_END in segment for segment in path):
            return None
        return self._bindings(found.groups())

    def _bindings(self, texts: Sequence[str]) -> Bindings | None:
        bindings: dict[str, str | KeyPath] = {}
        computed: list[tuple[Computed, str]] = []
        for part, text in zip(self._compiler.groups, texts, strict=True):
            if isinstance(part, Computed):
                computed.append((part, text))
            else:
                bindings[part.name] = tuple(text.split(_END)[:-1]) if part.kind == "rest" else text
        return bindings if all(_agrees(part, text, bindings) for part, text in computed) else None


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
        self._numbers: dict[str, int] = {}

    def segment(self, segment: Segment) -> str:
        if is_rest(segment):
            return self._part(segment[0])
        body = "".join(map(self._part, segment))
        return f"(?!{_END}){body}{_END}"

    def _part(self, part: Part) -> str:
        if isinstance(part, LiteralText):
            return re.escape(part.text)
        if isinstance(part, Capture) and part.name in self._numbers:
            return f"(?:\\{self._numbers[part.name]})"
        self.groups.append(part)
        if isinstance(part, Capture):
            self._numbers[part.name] = len(self.groups)
        return f"({_body(part)})"


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
      PatternError: it is not a valid regular expression.
    """
    try:
        regex = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        offset = getattr(error, "pos", None) or 0
        raise PatternError(f"invalid regular expression: {error}", offset) from None

    def match(path: KeyPath) -> Bindings | None:
        found = regex.fullmatch(format_path(path))
        if found is None:
            return None
        return {name: _captured(found[name]) for name in regex.groupindex}

    return match, tuple(regex.groupindex)


def _captured(text: str | None) -> str | KeyPath:
    if not text:
        return ()
    if text == ".":  # a key inside a longer path, which `parse_path` would read as the root
        return text
    segments = parse_path(text)
    inner = segments[not segments[0] : len(segments) - (not segments[-1])]
    return inner[0] if len(inner) == 1 else inner
