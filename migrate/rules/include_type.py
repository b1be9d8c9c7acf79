"""The type of an entry of `include:`: a file, the places of its rules, and what narrows, excuses or parametrizes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from migrate.rules.build import include_problems
from migrate.rules.field_types import (
    FLAG,
    ArgumentsType,
    Field,
    FieldType,
    JsonSchema,
    MappingType,
    OneOrManyType,
    ReadContext,
    StringType,
    head_span,
)
from migrate.rules.model import Include
from migrate.rules.pattern_types import SourcePattern, TargetPattern
from migrate.rules.source import MapNode, Node, ScalarNode
from migrate.tree import parse_path

_SOURCES = OneOrManyType(SourcePattern())

INCLUDE = MappingType(
    "an include",
    (
        Field("file", StringType(), "the name of a bundled rule file, or a path relative to this file", required=True),
        Field("under", TargetPattern(), "the place in the source that its rules apply to (default: `.`, the root)"),
        Field("to", TargetPattern(), "the place in the target that its rules write to (default: `under`)"),
        Field("except", _SOURCES, "patterns of leaves that its rules do not apply to"),
        Field("only", _SOURCES, "patterns of the leaves that its rules apply to (default: all)"),
        Field("args", ArgumentsType(), "values of the file's arguments, by name (default: those of the file)"),
        Field("optional", FLAG, "whether its rules may match nothing (default: false)"),
        Field("config", StringType(), "the place of its names in the model's `config.json` (default: the root)"),
        Field("requires", FLAG, "whether its requirements apply (default: true)"),
    ),
)


@final
@dataclass(frozen=True)
class IncludeType(FieldType):
    """The name of a file, or a mapping that also gives the places for its rules."""

    def phrase(self) -> str:
        return f"the name of a rule file, or {INCLUDE.phrase()}"

    def read(self, node: Node, context: ReadContext) -> Include | None:
        if isinstance(node, MapNode):
            return self._mapping(node, context)
        if isinstance(node, ScalarNode) and isinstance(node.value, str) and node.value:
            return Include(node.value, node.span)
        self.reject(node, context)
        return None

    def _mapping(self, node: MapNode, context: ReadContext) -> Include | None:
        before = len(context.findings)
        record = INCLUDE.read(node, context)
        if record is None or len(context.findings) > before:
            return None
        under, to = record.get("under"), record.get("to") or record.get("under")
        excepts = tuple(placed.pattern for placed in record.get("except", ()))
        places = (under and under.pattern, to and to.pattern)
        only = tuple(placed.pattern for placed in record.get("only", ()))
        include = Include(
            record.get("file"),
            head_span(node),
            *places,
            excepts,
            record.get("args", {}),
            only,
            record.get("optional", False),
            parse_path(record.get("config", "")),
            record.get("requires", True),
        )
        given = record.get("to")
        context.findings.extend(include_problems(include, [placed for placed in (under, given) if placed], given))
        return include

    def json(self) -> JsonSchema:
        return {"anyOf": [{"type": "string"}, INCLUDE.json()]}
