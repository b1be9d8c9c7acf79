"""Patterns as values of fields: read from a node, checked for the side on which they stand, kept with their place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import final

from migrate.codes import InvalidPattern, InvalidValue, MissingField
from migrate.errors import Span
from migrate.rules.field_types import Field, JsonSchema, Str, Struct, Type, Where
from migrate.rules.pattern import Pattern, PatternError
from migrate.rules.source import MapNode, Node, ScalarNode

REGEX = Struct(
    "a regular expression",
    (Field("regex", Str(), "a regular expression over the whole key path; named groups are captures", required=True),),
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A pattern and where it stands: `start` characters into the text of `node`."""

    pattern: Pattern
    node: ScalarNode
    start: int = 0

    @property
    def span(self) -> Span:
        """The place of the pattern."""
        return self.node.span_of(self.start, len(self.pattern.text))

    def span_of_name(self, name: str) -> Span:
        """The place where the pattern uses a name."""
        offset, length = self.pattern.find(name)
        return self.node.span_of(self.start + offset, length)


@final
@dataclass(frozen=True)
class SourcePattern(Type):
    """A pattern that is matched: the left-hand side, `drop`, `create` and `except`."""

    def phrase(self) -> str:
        return "a pattern, or `{regex: …}`"

    def read(self, node: Node, where: Where) -> Placed | None:
        if isinstance(node, MapNode):
            return _regex(node, where)
        text = _text(node, self, where)
        return read_source(text, text.text, 0, where) if text else None

    def json(self) -> JsonSchema:
        return {"anyOf": [{"$ref": "#/definitions/pattern"}, {"$ref": "#/definitions/regex"}]}


@final
@dataclass(frozen=True)
class TargetPattern(Type):
    """A pattern that is filled: the right-hand side."""

    def phrase(self) -> str:
        return "a pattern"

    def read(self, node: Node, where: Where) -> Placed | None:
        text = _text(node, self, where)
        return read_target(text, text.text, 0, where) if text else None

    def json(self) -> JsonSchema:
        return {"$ref": "#/definitions/pattern"}


def _text(node: Node, wanted: Type, where: Where) -> ScalarNode | None:
    """A scalar that can be a pattern; key paths like `0` need no quotes."""
    if isinstance(node, ScalarNode) and node.text and node.value is not None and type(node.value) is not bool:
        return node
    wanted.wrong(node, where)
    return None


def read_target(node: ScalarNode, text: str, start: int, where: Where) -> Placed | None:
    """The pattern `text`, which stands `start` characters into a node; None after a finding."""
    try:
        return Placed(Pattern.parse(text), node, start)
    except PatternError as error:
        _refuse(error, node, start, text, where)
        return None


def read_source(node: ScalarNode, text: str, start: int, where: Where) -> Placed | None:
    """The same for the left-hand side, which has no arithmetic and no wildcards that nothing tells apart."""
    placed = read_target(node, text, start, where)
    for error in placed.pattern.misuses_as_source() if placed else ():
        _refuse(error, node, start, text, where)
    return placed


def _regex(node: MapNode, where: Where) -> Placed | None:
    REGEX.read(node, where)
    text = node.get("regex")
    if not isinstance(text, ScalarNode) or not isinstance(text.value, str):
        return None
    try:
        return Placed(Pattern.regex(text.value), text)
    except PatternError as error:
        _refuse(error, text, 0, text.text, where)
        return None


def _refuse(error: PatternError, node: ScalarNode, start: int, text: str, where: Where) -> None:
    where.refuse(
        InvalidPattern, f"`{text}` cannot be a pattern: {error}", node.span_of(start + error.offset, error.length)
    )


_ARROW = re.compile(r"\s+->\s+")


def read_line(node: ScalarNode, where: Where) -> tuple[Placed | None, Placed | None]:
    """Both sides of a rule in one line, `from -> to`."""
    arrows = list(_ARROW.finditer(node.text))
    if len(arrows) != 1:
        _refuse_arrows(node, len(arrows), where)
        return None, None
    left, right = node.text[: arrows[0].start()], node.text[arrows[0].end() :]
    indent = len(left) - len(left.lstrip())
    return (
        read_source(node, left.strip(), indent, where),
        read_target(node, right.strip(), arrows[0].end(), where),
    )


def _refuse_arrows(node: ScalarNode, count: int, where: Where) -> None:
    if count:
        where.refuse(InvalidValue, f"a rule in one line has one ` -> `, and here are {count}", node.span)
        return
    close = "there must be a space on both sides of `->`" if "->" in node.text else None
    where.refuse(
        MissingField,
        f"`{node.text}` is no rule: a rule in one line is `from -> to`",
        node.span,
        label=close,
        help="a rule is `from -> to`, or a mapping of `from` and `to`, or `drop`, or `create`",
    )
