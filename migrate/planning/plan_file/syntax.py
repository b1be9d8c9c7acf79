"""Reads JSON to the nodes of rule files, which record their position.

A plan file is strict JSON: no comments, no NaN, no key twice, no unpaired surrogates, and a bounded depth.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined]  # not in the stubs

from migrate.codes import InvalidPlanFile
from migrate.errors import PlanError, Span
from migrate.rules.source import MAX_DEPTH, ListNode, MapNode, Node, ScalarNode, Value

_BLANK = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORD = re.compile(r"true|false|null")
_WORDS: dict[str, Value] = {"true": True, "false": False, "null": None}
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_DIGITS = 1000


def parse(text: str, name: str) -> Node:
    """Returns the root node of a JSON text; `name` is the file's name in spans.

    Raises:
      PlanError: the text is not strict JSON (`InvalidPlanFile`); the diagnostic has the location.
    """
    return _Parser(text, name).document()


class _Parser:
    """Reads values from left to right; `at` is the offset of the next character."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.at = 0
        self.depth = 0
        self.starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def document(self) -> Node:
        root = self._value()
        self._skip()
        if self.at < len(self.text):
            raise self._error("there is text after the end of the plan")
        return root

    def _value(self) -> Node:
        self._skip()
        start, char = self.at, self.text[self.at : self.at + 1]
        if char == '"':
            text = self._string()
            return ScalarNode(text, text, self._span(start), quoted=True)
        if char in ("{", "["):
            return self._collection(char)
        found = _WORD.match(self.text, start) or _NUMBER.match(self.text, start)
        if found is None:
            raise self._error("a JSON value is expected")
        self.at = found.end()
        return ScalarNode(self._scalar(found[0], start), found[0], self._span(start))

    def _scalar(self, text: str, start: int) -> Value:
        if text in _WORDS:
            return _WORDS[text]
        if len(text) > _MAX_DIGITS:
            raise self._error(f"a number of {len(text)} characters is too long", start)
        return int(text) if text.lstrip("-").isdecimal() else float(text)

    def _string(self) -> str:
        start = self.at
        try:
            found: tuple[str, int] = scanstring(self.text, start + 1, True)
        except JSONDecodeError as error:
            raise self._error(f"invalid JSON text: {error.msg}", error.pos) from None
        if _SURROGATE.search(found[0]):
            raise self._error("the text has an unpaired surrogate", start)
        self.at = found[1]
        return found[0]

    def _collection(self, opening: str) -> Node:
        start = self.at
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(f"the plan is nested deeper than {MAX_DEPTH} levels")
        self.at += 1
        node = self._mapping(start) if opening == "{" else self._list(start)
        self.depth -= 1
        return node

    def _list(self, start: int) -> ListNode:
        items: list[Node] = []
        while not self._closes("]", first=not items):
            items.append(self._value())
        return ListNode(tuple(items), self._span(start), 1 + len(items))

    def _mapping(self, start: int) -> MapNode:
        entries: dict[str, tuple[ScalarNode, Node]] = {}
        while not self._closes("}", first=not entries):
            key = self._key()
            if key.text in entries:
                raise self._error(f"the key `{key.text}` is there twice", key.span)
            entries[key.text] = (key, self._value())
        return MapNode(tuple(entries.values()), self._span(start), 1 + len(entries))

    def _key(self) -> ScalarNode:
        self._skip()
        start = self.at
        if self.text[start : start + 1] != '"':
            raise self._error("a key in double quotes is expected")
        text = self._string()
        key = ScalarNode(text, text, self._span(start), quoted=True)
        self._skip()
        if self.text[self.at : self.at + 1] != ":":
            raise self._error("`:` is expected")
        self.at += 1
        return key

    def _closes(self, closing: str, *, first: bool) -> bool:
        """Whether the collection ends here; otherwise reads the comma before the next item."""
        self._skip()
        char = self.text[self.at : self.at + 1]
        if char == closing:
            self.at += 1
            return True
        if first:
            return False
        if char != ",":
            raise self._error(f"`,` or `{closing}` is expected")
        self.at += 1
        return False

    def _skip(self) -> None:
        if self.text[self.at : self.at + 1] > " ":  # the fast way, right for most calls
            return
        self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]  # matches nothing at least

    def _span(self, start: int) -> Span:
        (line, column), (end_line, end_column) = self._position(start), self._position(self.at)
        return Span(self.name, line, column, end_line, end_column)

    def _position(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def _error(self, message: str, where: int | Span | None = None) -> PlanError:
        if not isinstance(where, Span):
            line, column = self._position(self.at if where is None else where)
            where = Span(self.name, line, column, line, column + 1)
        advice = "`migrate plan RULES SRC -o FILE` writes the file again"
        return PlanError(InvalidPlanFile.at(message, span=where, help=advice))
