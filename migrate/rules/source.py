"""Parses YAML text to nodes that record their location.

Rule files are read from the parser's events instead of a YAML loader for three reasons: every key and value keeps its
location, scalars follow the YAML 1.2 core schema (`no` is a string, `0o17` is fifteen), and silent behavior of loaders
(the last of two equal keys wins, aliases expand without limit) is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from migrate.codes import DuplicateKey, InvalidValue, InvalidYaml, UnsupportedYaml
from migrate.errors import Diagnostic, Span
from migrate.rules.indentation import misplaced_line

if TYPE_CHECKING:
    from yaml import events as ev

MAX_DEPTH = 64
"""The maximum nesting depth; rule files need eight levels."""
MAX_EXPANDED = 100_000
"""The maximum number of nodes that the aliases of a file expand to in total."""

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A scalar: its value by the YAML 1.2 core schema, and its original text."""

    value: Value
    text: str
    span: Span
    quoted: bool = False

    size = 1

    def span_of(self, offset: int, length: int) -> Span:
        """Returns the span of a part of `text`; the whole span if escapes or line breaks make offsets unreliable."""
        span, quotes = self.span, int(self.quoted)
        if span.line != span.end_line or span.end_column - span.column != len(self.text) + 2 * quotes:
            return span
        start = span.column + quotes + offset
        return replace(span, column=start, end_column=start + max(length, 1))


@dataclass(frozen=True, slots=True)
class ListNode:
    """A sequence; `size` is the number of its nodes, including itself, with aliases expanded."""

    items: tuple[Node, ...]
    span: Span
    size: int


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping with distinct keys in the order of the file; `size` as for a list."""

    entries: tuple[tuple[ScalarNode, Node], ...]
    span: Span
    size: int

    def get(self, name: str) -> Node | None:
        """Returns the value of a key, or None if the key is absent."""
        return next((value for key, value in self.entries if key.text == name), None)


Node = ScalarNode | ListNode | MapNode


def compose(text: str, path: str) -> tuple[Node | None, list[Diagnostic]]:
    """Returns the root node of a YAML text, or None, and the findings about its syntax.

    Args:
      text: the whole file.
      path: the file's name in spans.
    """
    composer = _Composer(path)
    if (bad := _UNPRINTABLE.search(text)) is not None:
        composer.refuse_character(text, bad.start())
        return None, composer.findings
    try:
        for event in _events(text):
            composer.take(event)
    except _TooDeepError:
        return None, composer.findings
    except Exception as error:
        if not hasattr(error, "problem_mark"):
            raise
        composer.refuse_syntax(error, text)
        return None, composer.findings
    return composer.root, composer.findings


def plain(node: Node) -> Any:
    """Returns a node as plain Python data; keys become strings."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return {key.text: plain(value) for key, value in node.entries}


_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


def _events(text: str) -> Iterator[ev.Event]:
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.parse(text, Loader=loader)


class _TooDeepError(Exception):
    """The nesting exceeds `MAX_DEPTH`."""


class _Composer:
    """Builds nodes from events; open collections are on the stack with their items so far."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.root: Node | None = None
        self.findings: list[Diagnostic] = []
        self._documents = 0
        self._expanded = 0
        self._anchors: dict[str, Node] = {}
        self._stack: list[tuple[ev.CollectionStartEvent, list[Node]]] = []

    def take(self, event: ev.Event) -> None:
        import yaml

        match event:
            case yaml.DocumentStartEvent():
                self._count_document(event)
            case yaml.ScalarEvent():
                self._add(self._scalar(event), event)
            case yaml.AliasEvent():
                self._add(self._alias(event), event)
            case yaml.CollectionStartEvent():
                self._open(event)
            case yaml.CollectionEndEvent():
                start, items = self._stack.pop()
                self._add(self._collection(start, items, event), start)

    def _count_document(self, event: ev.Event) -> None:
        self._documents += 1
        if self._documents == 2:
            self._refuse("the file contains more than one YAML document; use one file per document", self._span(event))

    def _add(self, node: Node, event: ev.NodeEvent) -> None:
        if getattr(event, "tag", None) is not None:
            self._refuse("rule files do not support tags", self._span(event), "remove this tag")
        if event.anchor is not None and not _is_alias(event):
            self._anchors[event.anchor] = node
        if self._stack:
            self._stack[-1][1].append(node)
        elif self.root is None:
            self.root = node

    def _open(self, event: ev.CollectionStartEvent) -> None:
        if len(self._stack) == MAX_DEPTH:
            self._refuse(f"the file is nested deeper than {MAX_DEPTH} levels", self._span(event))
            raise _TooDeepError
        self._stack.append((event, []))

    def _scalar(self, event: ev.ScalarEvent) -> ScalarNode:
        span, quoted = self._span(event), bool(event.style)
        if event.style in ("|", ">"):
            span = replace(span, end_line=span.line, end_column=span.column + 1)
        value = event.value if quoted else resolve(event.value)
        if isinstance(value, float) and event.value.lstrip("+-").isdecimal():
            message = f"an integer of {len(event.value)} digits is too long"
            self.findings.append(InvalidValue.at(message, span=span))
        return ScalarNode(value, event.value, span, quoted)

    def _alias(self, event: ev.AliasEvent) -> Node:
        span, node = self._span(event), self._anchors.get(str(event.anchor))
        nothing = ScalarNode(None, "", span)
        if node is None:
            self._refuse(
                f"the alias `*{event.anchor}` refers to no anchor that ends before it",
                span,
                help="put a pattern that begins with `*` in quotes",
            )
            return nothing
        before = self._expanded
        self._expanded += node.size
        if self._expanded > MAX_EXPANDED:
            if before <= MAX_EXPANDED:
                self._refuse(f"the aliases in the file expand to more than {MAX_EXPANDED} nodes", span)
            return nothing
        return node

    def _collection(self, start: ev.CollectionStartEvent, items: list[Node], end: ev.Event) -> Node:
        span = self._span(start, end) if start.flow_style or not items else self._block_span(start, items)
        size = 1 + sum(item.size for item in items)
        if not _is_mapping(start):
            return ListNode(tuple(items), span, size)
        return MapNode(tuple(self._entries(items)), span, size)

    def _entries(self, items: list[Node]) -> Iterator[tuple[ScalarNode, Node]]:
        seen: dict[str, ScalarNode] = {}
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, ScalarNode):
                self._refuse("a key must be a scalar, not a list or a mapping", key.span)
            elif key.text == "<<" and not key.quoted:
                self._refuse("rule files do not support merge keys", key.span, "write the fields out in full")
            elif (first := seen.setdefault(key.text, key)) is not key:
                message = f"the mapping contains the key `{key.text}` twice"
                label = f"first on line {first.span.line}"
                self.findings.append(
                    DuplicateKey.at(message, span=key.span, label=label, help="remove or rename one of them")
                )
            else:
                yield key, value

    def _block_span(self, start: ev.Event, items: list[Node]) -> Span:
        """Returns the span up to the last item; the parser reports the start of the next token as the end."""
        span, last = self._span(start), items[-1].span
        if (last.end_line, last.end_column) <= (span.line, span.column):
            return span
        return replace(span, end_line=last.end_line, end_column=last.end_column)

    def _span(self, event: ev.Event, end: ev.Event | None = None) -> Span:
        start, stop = event.start_mark, (end or event).end_mark
        assert start is not None
        assert stop is not None
        line, column = start.line + 1, start.column + 1
        # An empty value still needs a column for the caret.
        return Span(self.path, line, column, stop.line + 1, max(stop.column + 1, column + (stop.line == start.line)))

    def _refuse(self, message: str, span: Span, label: str | None = None, help: str | None = None) -> None:
        self.findings.append(UnsupportedYaml.at(message, span=span, label=label, help=help))

    def refuse_character(self, text: str, index: int) -> None:
        """Reports a character that YAML does not allow."""
        breaks = [match.end() for match in _LINE_BREAK.finditer(text, 0, index)]
        column = index - (breaks[-1] if breaks else 0) + 1
        span = Span(self.path, len(breaks) + 1, column, len(breaks) + 1, column + 1)
        self.findings.append(
            InvalidYaml.at(f"the character U+{ord(text[index]):04X} is not allowed in YAML", span=span)
        )

    def refuse_syntax(self, error: Any, text: str) -> None:
        """Reports the syntax error at which the parser stopped; a line with a wrong indentation is named as that."""
        mark = error.problem_mark or error.context_mark
        span = Span(self.path, mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 2) if mark else None
        shift = misplaced_line(text, mark.line) if mark else None
        if shift is not None:
            place = Span(self.path, mark.line + 1, shift.column, mark.line + 1, shift.column + 1)
            self.findings.append(InvalidYaml.at(f"invalid YAML: {shift.message}", span=place, help=shift.help))
            return
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        advice = "put patterns that begin with `*`, `{` or `[` in quotes, and indent with spaces only"
        self.findings.append(InvalidYaml.at(f"invalid YAML: {reason}", span=span, help=advice))


def _is_alias(event: ev.NodeEvent) -> bool:
    return type(event).__name__ == "AliasEvent"


def _is_mapping(event: ev.NodeEvent) -> bool:
    return type(event).__name__ == "MappingStartEvent"


_WORDS: dict[str, Value] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 1000  # well below the limit of Python's own conversion


def resolve(text: str) -> Value:
    """Returns the value of an unquoted scalar by the YAML 1.2 core schema.

    An integer of more than a thousand digits becomes infinity, which the composer refuses.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text, base) if len(text) <= _MAX_DIGITS else math.inf
    if _FLOAT.fullmatch(text):
        return float(text)
    if (special := _INFINITE.fullmatch(text)) is not None:
        return math.nan if special[3] else float(f"{special[1]}inf")
    return text
