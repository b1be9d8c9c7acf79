"""Leaves as text: `float32[3,4]`, `int64 scalar`, `empty dict`; `(value)` follows where Flax's box adds a level."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import final, get_args

from migrate import dtypes
from migrate.rules.field_types import FieldType, JsonSchema, ReadContext
from migrate.rules.source import MapNode, Node, ScalarNode
from migrate.tree import AbstractArray, AbstractLeaf, Container, KeyPath, format_path, parse_path

_ARRAY = re.compile(r"([^\[\] ]+)\[((?:\d{1,18}(?:,\d{1,18})*)?)\]", re.ASCII)
_BOX = re.compile(r"(.*) \((value|raw_value)\)", re.DOTALL)
_OTHERS = {
    **{kind: AbstractLeaf(kind) for kind in ("string", "none")},
    **{f"empty {name}": AbstractLeaf("empty", container=name) for name in get_args(Container)},
}


def leaf_text(leaf: AbstractLeaf) -> str:
    """Returns a leaf as text, without its storage and sharding."""
    return f"{leaf} ({leaf.box})" if leaf.box else str(leaf)


@lru_cache(maxsize=1 << 12)  # a plan has many leaves and few different texts
def parse_leaf(text: str) -> AbstractLeaf:
    """Returns the leaf of a text; text of no other form describes an opaque leaf."""
    boxed = _BOX.fullmatch(text)
    if boxed is not None:
        return replace(parse_leaf(boxed[1]), box=boxed[2])
    found, scalar = _ARRAY.fullmatch(text), text.removesuffix(" scalar")
    if found is not None and dtypes.is_name(found[1]):
        shape = tuple(int(size) for size in found[2].split(",") if size)
        return AbstractLeaf("array", AbstractArray(shape, found[1]))
    if scalar != text and dtypes.is_name(scalar):
        return AbstractLeaf("scalar", AbstractArray((), scalar))
    return _OTHERS.get(text) or AbstractLeaf("opaque", content=text)


@dataclass(frozen=True, slots=True)
class LocatedLeaf:
    """A leaf of a plan file, and the node of its text."""

    path: KeyPath
    leaf: AbstractLeaf
    node: ScalarNode


@final
@dataclass(frozen=True)
class LeavesType(FieldType):
    """A mapping of key paths to leaves, read as a tuple of located leaves."""

    def phrase(self) -> str:
        """Returns the form for messages."""
        return 'a mapping of key paths to leaves, such as `{"params/kernel": "float32[3,4]"}`'

    def read(self, node: Node, context: ReadContext) -> tuple[LocatedLeaf, ...] | None:
        """Returns the leaves, or None after a finding."""
        if not isinstance(node, MapNode) or not node.entries:
            self.reject(node, context)
            return None
        return tuple(leaf for entry in node.entries if (leaf := self._leaf(*entry, context)) is not None)

    def _leaf(self, key: ScalarNode, value: Node, context: ReadContext) -> LocatedLeaf | None:
        path = parse_path(key.text)
        if format_path(path) != key.text:
            self.reject(key, context, f"the key path is written `{format_path(path)}`")
            return None
        if not isinstance(value, ScalarNode) or not isinstance(value.value, str) or not value.value:
            self.reject(value, context.inside(key.text))
            return None
        return LocatedLeaf(path, parse_leaf(value.value), value)

    def json(self) -> JsonSchema:
        """Returns the JSON Schema."""
        return {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}
