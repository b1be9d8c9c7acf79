"""The type of the field `template`: a callable, or the file of a recorded tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from migrate.rules.field_types import CALLABLE, FieldType, JsonSchema, ReadContext
from migrate.rules.recorded_tree import SUFFIX, is_recorded_tree
from migrate.rules.source import Node, ScalarNode


@final
@dataclass(frozen=True)
class TemplateType(FieldType):
    """The name of a callable, or the file of a recorded tree."""

    def phrase(self) -> str:
        return f"`module:callable` or the file of a recorded tree, `NAME{SUFFIX}`"

    def read(self, node: Node, context: ReadContext) -> str | None:
        if isinstance(node, ScalarNode) and isinstance(node.value, str) and is_recorded_tree(node.value):
            return node.value
        return CALLABLE.read(node, context)

    def json(self) -> JsonSchema:
        return {"anyOf": [CALLABLE.json(), {"type": "string", "pattern": "[.]tree[.]json$"}]}


TEMPLATE = TemplateType()
