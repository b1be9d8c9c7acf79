"""The type of the field `layout`: the structure of the new checkpoint, and how its arrays are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast, final

from migrate.rules.field_types import ChoiceType, FieldType, JsonSchema, OneOrManyType, ReadContext
from migrate.rules.model import ArrayStorage, Layout
from migrate.rules.source import ListNode, Node

STRUCTURES = ("state", "pure_dict", "items")
STORAGES = ("zarr", "huggingface")
"""The words that store arrays as files of plain zarr or as a folder of Hugging Face, also beside a structure."""

_WORDS = OneOrManyType(ChoiceType((*STRUCTURES, *STORAGES)))


def structure_and_storage(words: Sequence[str]) -> tuple[Layout | None, ArrayStorage | None]:
    """Returns the structure and the storage that the words of a layout name."""
    structure = next((word for word in words if word in STRUCTURES), None)
    storage = next((word for word in words if word in STORAGES), None)
    return cast("Layout | None", structure), cast("ArrayStorage | None", storage)


@final
@dataclass(frozen=True)
class LayoutType(FieldType):
    """A structure, a storage, or a list of both; read as a tuple of words."""

    def phrase(self) -> str:
        return "one of `state`, `pure_dict` and `items`, one of `zarr` and `huggingface`, or a list of one of each"

    def read(self, node: Node, context: ReadContext) -> tuple[str, ...] | None:
        if isinstance(node, ListNode) and len(node.items) > 1:
            words = [getattr(item, "value", None) for item in node.items]
            if any(sum(word in kind for word in words) > 1 for kind in (STRUCTURES, STORAGES)):
                self.reject(node, context)
                return None
        return _WORDS.read(node, context)

    def json(self) -> JsonSchema:
        return _WORDS.json()
