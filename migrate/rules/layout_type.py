"""The type of the field `layout`: the structure of the new checkpoint, and whether its arrays are plain zarr."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from migrate.rules.field_types import ChoiceType, FieldType, JsonSchema, OneOrManyType, ReadContext
from migrate.rules.source import ListNode, Node

STRUCTURES = ("state", "pure_dict", "items")
PLAIN_ZARR = "zarr"
"""The word that stores arrays as files of plain zarr, also beside one of the structures."""

_WORDS = OneOrManyType(ChoiceType((*STRUCTURES, PLAIN_ZARR)))


@final
@dataclass(frozen=True)
class LayoutType(FieldType):
    """A structure, `zarr`, or a list of both; read as a tuple of words."""

    def phrase(self) -> str:
        return "one of `state`, `pure_dict` and `items`, or `zarr`, or a list of one of these and `zarr`"

    def read(self, node: Node, context: ReadContext) -> tuple[str, ...] | None:
        if isinstance(node, ListNode) and len(node.items) > 1:
            words = [getattr(item, "value", None) for item in node.items]
            if len(words) > len(set(words)) or sum(word != PLAIN_ZARR for word in words) > 1:
                self.reject(node, context)
                return None
        return _WORDS.read(node, context)

    def json(self) -> JsonSchema:
        return _WORDS.json()
