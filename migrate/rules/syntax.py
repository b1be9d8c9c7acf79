r"""Parses the text of a pattern to segments, which consist of parts.

    {name}      a run of one or more characters inside one segment
    {name:int}  the same, digits only
    {name:int where name%2==0}  integers that satisfy a condition, on the left-hand side only
    {name:a|b}  one of a set
    *           an unnamed run of zero or more characters inside a segment; a whole segment is never empty
    **          zero or more whole segments; {name:**} if a pattern needs several
    {i+1}       an integer expression; on the left-hand side a linear one, `{2*j}`, which captures its name
    \           makes the next character literal, one of `/ { } * \`; `\x1b`, `\u202e`, `\n` are those characters

Empty text between slashes is an empty segment (`a//b`), and so is `\e`.


Unnamed wildcards are named `*0`, `*1`, … and `**0`, `**1`, … in order, so that they correspond on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from migrate.printable import read_escape
from migrate.rules.condition import Condition
from migrate.rules.expression import Expression, PatternError
from migrate.tree import EMPTY

Kind = Literal["run", "glob", "int", "choice", "rest"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHERE = re.compile(r"\s*int\s+where\b(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LiteralText:
    """Literal characters."""

    text: str


@dataclass(frozen=True, slots=True)
class Capture:
    """A wildcard: `glob` is `*`, `rest` is `**`, `choices` are the alternatives of a `choice`; an `int` can have a
    condition, `where`.
    """

    name: str
    kind: Kind
    offset: int
    length: int
    choices: tuple[str, ...] = ()
    where: Condition | None = None


@dataclass(frozen=True, slots=True)
class Computed:
    """An integer expression and its location in the pattern's text."""

    expression: Expression
    offset: int
    length: int


Part = LiteralText | Capture | Computed
Segment = tuple[Part, ...]


def is_rest(segment: Segment) -> bool:
    """Whether a segment of a pattern is `**`, which matches any number of segments of a key path."""
    return isinstance(segment[0], Capture) and segment[0].kind == "rest"


def parse_segments(text: str) -> tuple[Segment, ...]:
    """Returns the segments of a pattern; none for `.`, the root.

    Raises:
      PatternError: the text is invalid; the offset gives the location.
    """
    if text == ".":
        return ()
    if not text:
        raise PatternError(f"a segment is empty; write `.` for the root, or `{EMPTY}` for an empty segment", 0)
    return tuple(_Reader(text).segments())


class _Reader:
    """Reads a pattern from left to right; each method advances `at` past the text that it read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.unnamed = {"*": 0, "**": 0}
        self.kinds: dict[str, Capture] = {}

    def segments(self) -> Iterator[Segment]:
        while True:
            yield self._segment() or (LiteralText(""),)
            if self.at == len(self.text):
                return
            self.at += 1

    def _segment(self) -> Segment:
        parts: list[Part] = []
        if self.text[self.at :].partition("/")[0] == EMPTY:
            self.at += len(EMPTY)
        while self.at < len(self.text) and self.text[self.at] != "/":
            part = self._part()
            if isinstance(part, LiteralText) and parts and isinstance(last := parts[-1], LiteralText):
                parts[-1] = LiteralText(last.text + part.text)
            else:
                parts.append(part)
        self._refuse_partial_rest(parts)
        return tuple(parts)

    def _part(self) -> Part:
        char = self.text[self.at]
        if char == "{":
            return self._braces()
        if char == "*":
            return self._star()
        if char == "}":
            raise PatternError("unmatched `}`; write `\\}` for the character itself", self.at)
        return LiteralText(self._char())

    def _char(self) -> str:
        """Returns one literal character, escaped or not."""
        start, char = self.at, self.text[self.at]
        if (special := read_escape(self.text, start)) is not None:
            char, self.at = special
            return char
        self.at += 1
        if char != "\\":
            return char
        escaped = self.text[self.at : self.at + 1]
        if not escaped or escaped.isalnum():
            raise PatternError(f"invalid escape `\\{escaped}`; `\\` may precede one of `/ {{ }} * \\`", start, 2)
        self.at += 1
        return escaped

    def _star(self) -> Capture:
        start = self.at
        while self.text[self.at : self.at + 1] == "*":
            self.at += 1
        stars = self.text[start : self.at]
        if stars not in self.unnamed:
            raise PatternError(f"invalid wildcard `{stars}`; use `*` or `**`", start, len(stars))
        name = f"{stars}{self.unnamed[stars]}"
        self.unnamed[stars] += 1
        return Capture(name, "rest" if stars == "**" else "glob", start, len(stars))

    def _braces(self) -> Part:
        start = self.at
        content = self._content()
        length = self.at - start
        name, colon, kind = content.partition(":")
        if not colon and (plain := _NAME.match(name)) and re.match(r"\s+where\b", name[plain.end() :]):
            message = f"only an integer can have a condition; write `{{{plain[0]}:int{name[plain.end() :]}}}`"
            raise PatternError(message, start, length)
        if not colon and not _NAME.fullmatch(name):
            return Computed(_expression(content, start, length), start, length)
        if not _NAME.fullmatch(name):
            raise PatternError(
                f"invalid name `{name}`; names consist of letters, digits and `_`, and do not start with a digit",
                start,
                length,
            )
        return self._declared(_capture(name, kind if colon else None, start, length))

    def _content(self) -> str:
        """Returns the text between braces, including escapes."""
        start = self.at
        self.at += 1
        while self.at < len(self.text) and self.text[self.at] != "}":
            self._char()
        if self.at == len(self.text):
            raise PatternError("unclosed `{`; write `\\{` for the character itself", start)
        self.at += 1
        return self.text[start + 1 : self.at - 1]

    def _declared(self, capture: Capture) -> Capture:
        known = self.kinds.setdefault(capture.name, capture)
        if _kind(known) != _kind(capture) and capture.kind != "run":
            raise PatternError(
                f"`{capture.name}` is declared twice with different types; declare the type only at its first use",
                capture.offset,
                capture.length,
            )
        where = capture.where if capture is known else None
        return replace(capture, kind=known.kind, choices=known.choices, where=where)

    def _refuse_partial_rest(self, parts: list[Part]) -> None:
        for part in parts:
            if isinstance(part, Capture) and part.kind == "rest" and len(parts) > 1:
                raise PatternError("`**` matches whole segments; use `*` inside a segment", part.offset, part.length)


def _expression(content: str, offset: int, length: int) -> Expression:
    try:
        return Expression.parse(content)
    except PatternError as error:
        raise PatternError(str(error), offset, length) from None


def _kind(capture: Capture) -> tuple[object, ...]:
    return capture.kind, capture.choices, capture.where


def _condition(text: str, offset: int, length: int) -> Condition:
    try:
        return Condition.parse(text)
    except PatternError as error:
        raise PatternError(str(error), offset, length) from None


def _capture(name: str, kind: str | None, offset: int, length: int) -> Capture:
    condition = _WHERE.fullmatch(kind) if kind else None
    if condition is not None:
        return Capture(name, "int", offset, length, where=_condition(condition[1], offset, length))
    match kind:
        case None:
            return Capture(name, "run", offset, length)
        case "int":
            return Capture(name, "int", offset, length)
        case "**":
            return Capture(name, "rest", offset, length)
        case _:
            return Capture(name, "choice", offset, length, _choices(kind, offset, length))


def _choices(text: str, offset: int, length: int) -> tuple[str, ...]:
    if re.search(r"(?<!\\)(\\\\)*[/*{]", text):
        raise PatternError("an alternative contains `/`, `*` or `{`; escape it with `\\`", offset, length)
    choices = [""]
    at = 0
    while at < len(text):
        char, after = read_escape(text, at) or (text[at], at + 1)
        if char == "\\" == text[at] and after == at + 1:
            char, after = text[after], at + 2
        elif char == "|" == text[at]:
            char = ""
            choices.append("")
        choices[-1] += char
        at = after
    if "" in choices:
        raise PatternError("an alternative is empty", offset, length)
    return tuple(choices)
