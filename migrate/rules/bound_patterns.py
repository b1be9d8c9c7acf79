"""The type of `from:` in a move: patterns, or a mapping that binds a name to each pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

from migrate.codes import InvalidValue
from migrate.rules.field_types import FieldType, JsonSchema, OneOrManyType, ReadContext
from migrate.rules.pattern_types import LocatedPattern, SourcePattern
from migrate.rules.source import MapNode, Node

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\??")
_REGEX = "regex"
_PATTERNS = OneOrManyType(SourcePattern())


@final
@dataclass(frozen=True)
class MoveSources(FieldType):
    """Patterns, or a mapping of two or more names to patterns; the leaf of a name that ends in `?` may be absent."""

    def phrase(self) -> str:
        return f"{_PATTERNS.phrase()}, or a mapping of names to patterns"

    def read(self, node: Node, context: ReadContext) -> tuple[LocatedPattern | None, ...] | None:
        if not isinstance(node, MapNode) or len(node.entries) == 1:
            return _PATTERNS.read(node, context)
        if not node.entries:
            self.reject(node, context)
            return None
        return tuple(self._bound(node, context))

    def _bound(self, node: MapNode, context: ReadContext) -> Iterator[LocatedPattern | None]:
        known: set[str] = set()
        for key, value in node.entries:
            name = key.text.removesuffix("?")
            if not _NAME.fullmatch(key.text) or name == _REGEX:
                message = f"`{key.text}` cannot be the name of a leaf"
                advice = "use letters, digits and `_`, with `?` at the end if the leaf may be absent"
                context.refuse(InvalidValue, message, key.span, help=advice)
            if name in known:
                context.refuse(InvalidValue, f"`{name}` is bound twice", key.span)
            known.add(name)
            placed = SourcePattern().read(value, context.inside(key.text))
            yield placed and replace(placed, name=name, maybe=key.text.endswith("?"))

    def json(self) -> JsonSchema:
        bound = {
            "type": "object",
            "additionalProperties": SourcePattern().json(),
            "minProperties": 2,
        }
        return {"anyOf": [*_PATTERNS.json()["anyOf"], bound]}
