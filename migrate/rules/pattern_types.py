"""Field types for patterns, which are checked for their side of the rule and keep their location."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import final

from migrate.codes import InvalidPattern, InvalidValue, MissingField
from migrate.errors import Span
from migrate.rules.field_types import Field, FieldType, JsonSchema, MappingType, ReadContext, StringType
from migrate.rules.pattern import Pattern, PatternError
from migrate.rules.source import MapNode, Node, ScalarNode
from migrate.rules.sources_type import canonical_text

REGEX = MappingType(
    "a regular expression",
    (
        Field(
            "regex",
            StringType(),
            "a regular expression for the whole key path; named groups are captures",
            required=True,
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class LocatedPattern:
    """A pattern and its location: `start` characters into the text of `node`.

    Attributes:
      name: the name that `from:` binds to its leaves; empty if it binds none.
      maybe: whether its leaf may be absent.
    """

    pattern: Pattern
    node: ScalarNode
    start: int = 0
    name: str = ""
    maybe: bool = False

    @property
    def span(self) -> Span:
        """The span of the pattern."""
        return self.node.span_of(self.start, len(self.pattern.text))

    def span_of_name(self, name: str) -> Span:
        """Returns the span of the first use of a name in the pattern."""
        offset, length = self.pattern.find(name)
        return self.node.span_of(self.start + offset, length)


@final
@dataclass(frozen=True)
class SourcePattern(FieldType):
    """A pattern to match: the left-hand side, `drop`, `create` and `except`."""

    def phrase(self) -> str:
        return "a pattern, or `{regex: …}`"

    def read(self, node: Node, context: ReadContext) -> LocatedPattern | None:
        if isinstance(node, MapNode):
            return _regex(node, context)
        text = _text(node, self, context)
        return read_source(text, text.text, 0, context) if text else None

    def json(self) -> JsonSchema:
        return {"anyOf": [{"$ref": "#/definitions/pattern"}, {"$ref": "#/definitions/regex"}]}


@final
@dataclass(frozen=True)
class TargetPattern(FieldType):
    """A pattern to fill: the right-hand side."""

    def phrase(self) -> str:
        return "a pattern"

    def read(self, node: Node, context: ReadContext) -> LocatedPattern | None:
        text = _text(node, self, context)
        return read_target(text, text.text, 0, context) if text else None

    def json(self) -> JsonSchema:
        return {"$ref": "#/definitions/pattern"}


def _text(node: Node, wanted: FieldType, context: ReadContext) -> ScalarNode | None:
    """Returns a scalar that can be a pattern; key paths such as `0` need no quotes."""
    if isinstance(node, ScalarNode) and node.text and node.value is not None and type(node.value) is not bool:
        return node
    wanted.reject(node, context)
    return None


def read_target(node: ScalarNode, text: str, start: int, context: ReadContext) -> LocatedPattern | None:
    """Returns the pattern `text`, located `start` characters into a node; None after a finding."""
    text = canonical_text(text, context.sources)
    try:
        return LocatedPattern(Pattern.parse(text), node, start)
    except PatternError as error:
        _refuse(error, node, start, text, context)
        return None


def read_source(node: ScalarNode, text: str, start: int, context: ReadContext) -> LocatedPattern | None:
    """Returns a pattern of the left-hand side, which allows no arithmetic and no adjacent wildcards."""
    placed = read_target(node, text, start, context)
    for error in placed.pattern.left_side_errors() if placed else ():
        _refuse(error, node, start, text, context)
    return placed


def _regex(node: MapNode, context: ReadContext) -> LocatedPattern | None:
    REGEX.read(node, context)
    text = node.get("regex")
    if not isinstance(text, ScalarNode) or not isinstance(text.value, str):
        return None
    try:
        return LocatedPattern(Pattern.regex(canonical_text(text.value, context.sources)), text)
    except PatternError as error:
        _refuse(error, text, 0, text.text, context)
        return None


def _refuse(error: PatternError, node: ScalarNode, start: int, text: str, context: ReadContext) -> None:
    context.refuse(
        InvalidPattern, f"invalid pattern `{text}`: {error}", node.span_of(start + error.offset, error.length)
    )


_ARROW = re.compile(r"\s+->\s+")


def read_line(node: ScalarNode, context: ReadContext) -> tuple[LocatedPattern | None, LocatedPattern | None]:
    """Returns both sides of a one-line rule, `from -> to`."""
    arrows = list(_ARROW.finditer(node.text))
    if len(arrows) != 1:
        _refuse_arrows(node, len(arrows), context)
        return None, None
    left, right = node.text[: arrows[0].start()], node.text[arrows[0].end() :]
    indent = len(left) - len(left.lstrip())
    return (
        read_source(node, left.strip(), indent, context),
        read_target(node, right.strip(), arrows[0].end(), context),
    )


def _refuse_arrows(node: ScalarNode, count: int, context: ReadContext) -> None:
    if count:
        context.refuse(InvalidValue, f"a one-line rule contains ` -> ` once, not {count} times", node.span)
        return
    close = "put a space on both sides of `->`" if "->" in node.text else None
    context.refuse(
        MissingField,
        f"`{node.text}` is not a rule: a one-line rule is `from -> to`",
        node.span,
        label=close,
        help="write `from -> to`, or a mapping with `from` and `to`, with `drop` or with `create`",
    )
