"""The type of `sources:`: names of other sources, each with a path or with the fields of `source:` beside it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import final

from migrate.codes import InvalidValue
from migrate.errors import Span
from migrate.rules.field_types import Field, FieldType, FieldValues, JsonSchema, MappingType, ReadContext
from migrate.rules.model import Guard, OtherSource
from migrate.rules.source import MapNode, Node, ScalarNode

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@final
@dataclass(frozen=True)
class _Path(FieldType):
    """The path of a source, or null for one that has to be given; read as text, empty for null."""

    source: str = "NAME"

    def phrase(self) -> str:
        return "a path, or `null` if `--source` gives it"

    def read(self, node: Node, context: ReadContext) -> str | None:
        if not isinstance(node, ScalarNode) or not (node.value is None or (isinstance(node.value, str) and node.value)):
            self.reject(node, context)
            return None
        if node.value and _URL.match(node.value):
            message = f"`{node.value}` is a URL, and only the command line or a caller names those"
            advice = f"write `null` here, and give it on the command line: `--source {self.source}={node.value}`"
            context.refuse(InvalidValue, message, node.span, help=advice)
            return None
        return node.value or ""

    def json(self) -> JsonSchema:
        return {"type": ["string", "null"]}


@final
@dataclass(frozen=True)
class SourcesType(FieldType):
    """A mapping of names to sources; `requirements` are the fields of `source:`."""

    requirements: MappingType

    def _fields(self, name: str = "NAME") -> MappingType:
        path = Field("path", _Path(name), "the checkpoint, relative to the rule file; null if `--source` gives it")
        return MappingType("a source", (path, *self.requirements.fields))

    def phrase(self) -> str:
        return "a mapping of names to paths, or to mappings with `path`"

    def read(self, node: Node, context: ReadContext) -> dict[str, OtherSource] | None:
        if not isinstance(node, MapNode):
            self.reject(node, context)
            return None
        found = {key.text: self._source(key, value, context) for key, value in node.entries}
        return {name: one for name, one in found.items() if one is not None}

    def _source(self, key: ScalarNode, node: Node, context: ReadContext) -> OtherSource | None:
        if not NAME.fullmatch(key.text):
            advice = "use letters, digits, `_` and `-`, and begin with a letter"
            context.refuse(InvalidValue, f"`{key.text}` cannot be the name of a source", key.span, help=advice)
            return None
        inside = context.inside(key.text)
        if not isinstance(node, MapNode):
            path = _Path(key.text).read(node, inside)
            return None if path is None else _other_source(path, {}, key.span)
        fields: FieldValues | None = self._fields(key.text).read(node, inside)
        if fields is None:
            return None
        values = dict(fields.values)
        return _other_source(values.pop("path", None) or "", values, key.span)

    def json(self) -> JsonSchema:
        one = {"anyOf": [_Path().json(), self._fields().json()]}
        return {"type": "object", "propertyNames": {"pattern": f"^{NAME.pattern}$"}, "additionalProperties": one}


def _other_source(path: str, requirements: dict[str, object], span: Span) -> OtherSource:
    guard = Guard(**requirements, span=span)  # type: ignore[arg-type]
    return OtherSource(_relative_to(span.file, path) if path else None, guard, span)


def _relative_to(file: str, path: str) -> str:
    """Returns a path of a rule file as seen from the current directory."""
    return os.path.join(os.path.dirname(file), path)


def canonical_text(text: str, names: frozenset[str]) -> str:
    """Returns the text of a pattern with a slash after the name of a source: `lora:model/w` as `lora:/model/w`.

    Args:
      text: the text of the rule file.
      names: the names of the sources; other names with a colon are ordinary text.
    """
    name, colon, rest = text.partition(":")
    if not colon or name not in names:
        return text
    return f"{name}:/{rest.removeprefix('/')}" if rest.strip("/") else f"{name}:"
