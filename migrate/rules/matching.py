"""How a pattern finds key paths: one compiled regular expression, behind checks that turn most key paths away first.

A large checkpoint has ten thousand leaves and a long rule file hundreds of patterns, so that most of the work is to say
no. Where a text can be divided in several ways, an earlier wildcard takes as much as it can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import takewhile

from migrate.rules.expression import PatternError
from migrate.rules.syntax import Capture, Computed, Part, Segment, Text, is_rest
from migrate.tree import KeyPath, format_path, parse_path

Bindings = Mapping[str, str | KeyPath]
"""What a match captured, from left to right: text inside a segment, or for `**` a tuple of whole segments."""

Matcher = Callable[[KeyPath], Bindings | None]

_END = "\0"  # ends every segment; no key that anything writes holds it, and a key that does is matched by no wildcard


def segment_matcher(segments: Sequence[Segment]) -> Matcher:
    """A matcher for parsed segments."""
    if all(_literal(segment) is not None for segment in segments):
        literal = tuple(_literal(segment) or "" for segment in segments)
        return lambda path: {} if path == literal else None
    return _SegmentMatcher(segments)


class _SegmentMatcher:
    """Compares length, literal beginning and literal end before the regular expression sees a key path."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._prefix = _literals(segments)
        self._suffix = _literals(segments[::-1])[::-1]
        self._length = sum(not is_rest(segment) for segment in segments)
        self._exact_length = self._length == len(segments)
        self._compiler = _Compiler()
        self._expression = "".join(map(self._compiler.segment, segments))

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        """Compiled when it is first needed: most patterns of a long rule file are filled and never matched."""
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
    """Whether an expression has the value that stands in the key path; one with unknown names may have any."""
    if not bindings.keys() >= set(part.expression.names):
        return True
    try:
        return str(part.expression.evaluate(bindings)) == text
    except PatternError:
        return False


class _Compiler:
    """Turns segments into the source of one regular expression, in which every segment ends with `_END`."""

    def __init__(self) -> None:
        self.groups: list[Capture | Computed] = []
        self._numbers: dict[str, int] = {}

    def segment(self, segment: Segment) -> str:
        if is_rest(segment):
            return self._part(segment[0])
        body = "".join(map(self._part, segment))
        return f"(?!{_END}){body}{_END}"

    def _part(self, part: Part) -> str:
        if isinstance(part, Text):
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
    return part.text if isinstance(part, Text) and len(segment) == 1 else None


def _literals(segments: Sequence[Segment]) -> KeyPath:
    return tuple(text for text in takewhile(lambda text: text is not None, map(_literal, segments)) if text is not None)


def regex_matcher(text: str) -> tuple[Matcher, tuple[str, ...]]:
    """A matcher for a regular expression over the whole key path as `format_path` prints it, and its groups' names.

    A group may span several segments; it then binds a tuple of them, and nothing at all is the empty tuple.

    Raises:
      PatternError: it is no regular expression.
    """
    try:
        regex = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        offset = getattr(error, "pos", None) or 0
        raise PatternError(f"this is no regular expression: {error}", offset) from None

    def match(path: KeyPath) -> Bindings | None:
        found = regex.fullmatch(format_path(path))
        if found is None:
            return None
        return {name: _captured(found[name]) for name in regex.groupindex}

    return match, tuple(regex.groupindex)


def _captured(text: str | None) -> str | KeyPath:
    if not text:
        return ()
    if text == ".":  # inside a longer key path this is a key; `parse_path` would take it for the root
        return text
    segments = parse_path(text)
    inner = segments[not segments[0] : len(segments) - (not segments[-1])]
    return inner[0] if len(inner) == 1 else inner
