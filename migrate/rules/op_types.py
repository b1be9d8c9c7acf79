"""The type of the `ops:` list: one op per item, with the fields that the op declares.

This module depends on no particular op: an op's `params` declare its fields, and the table below gives the field type
of each parameter type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, final

from migrate import dtypes
from migrate.codes import InvalidOpField, InvalidValue, UnknownOp
from migrate.errors import did_you_mean
from migrate.ops.base import TEMPLATE, Op, OpError, ParamType
from migrate.ops.registry import OPS
from migrate.rules.field_types import (
    FLAG,
    INT,
    NUMBER,
    Field,
    FieldType,
    FieldValues,
    JsonSchema,
    ListType,
    MappingType,
    ReadContext,
    SizesType,
    StringType,
)
from migrate.rules.model import RuleOp
from migrate.rules.source import ListNode, MapNode, Node, ScalarNode

_INTS = ListType(INT, "a list of integers")


@final
@dataclass(frozen=True)
class _Dtype(FieldType):
    def phrase(self) -> str:
        return "the name of a dtype, or `template`"

    def read(self, node: Node, context: ReadContext) -> str | None:
        if isinstance(node, ScalarNode) and (node.value == TEMPLATE or dtypes.is_name(node.text)):
            return node.text
        self.reject(node, context, did_you_mean(node.text, dtypes.NAMES) if isinstance(node, ScalarNode) else None)
        return None

    def json(self) -> JsonSchema:
        return {"enum": [TEMPLATE, *dtypes.NAMES]}


@final
@dataclass(frozen=True)
class _Shape(FieldType):
    def phrase(self) -> str:
        return "a list of integers, or `template`"

    def read(self, node: Node, context: ReadContext) -> tuple[int, ...] | str | None:
        if isinstance(node, ScalarNode) and node.value == TEMPLATE:
            return TEMPLATE
        if isinstance(node, ListNode):
            return _INTS.read(node, context)
        self.reject(node, context)
        return None

    def json(self) -> JsonSchema:
        return {"anyOf": [{"const": TEMPLATE}, _INTS.json()]}


_TYPES: Mapping[ParamType, FieldType] = {
    "int": INT,
    "ints": _INTS,
    "str": StringType(),
    "bool": FLAG,
    "number": NUMBER,
    "dtype": _Dtype(),
    "shape": _Shape(),
    "pairs": ListType(ListType(INT, "a list of two integers", count=2), "a list of pairs of integers"),
    "sizes": SizesType(),
}

_OVER = {
    "reduce": Field(
        "over", StringType(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a capture"), "the capture of `from` to reduce over"
    ),
    "extend": Field(
        "over", StringType(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a capture"), "the new name in `to` to extend over"
    ),
}


@cache
def _fields_of(op: type[Op]) -> MappingType:
    """Returns the type of an op's fields in a rule file."""
    own = tuple(Field(param.name, _TYPES[param.type], param.doc, param.required) for param in op.params)
    over = (_OVER[op.role],) if op.role in _OVER else ()
    return MappingType(f"`{op.name}`", own + over, unknown=InvalidOpField, missing=InvalidOpField)


@final
@dataclass(frozen=True)
class OpList(FieldType):
    """A list of ops; each item is an op's name, or a mapping of the name to its fields or its shorthand value."""

    def phrase(self) -> str:
        return "a list of ops"

    def read(self, node: Node, context: ReadContext) -> tuple[RuleOp | None, ...] | None:
        if isinstance(node, ListNode):
            return tuple(_read_item(item, context) for item in node.items)
        self.reject(node, context, "write it as a list: `[{…}]`" if isinstance(node, MapNode) else None)
        return None

    def json(self) -> JsonSchema:
        bare = [name for name, op in OPS.items() if not any(param.required for param in op.params)]
        return {"type": "array", "items": {"anyOf": [{"enum": bare}, *map(_item_json, OPS.values())]}}


def _read_item(node: Node, context: ReadContext) -> RuleOp | None:
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        return _read_op(node, None, context)
    if isinstance(node, MapNode) and len(node.entries) == 1:
        return _read_op(*node.entries[0], context)
    forms = "an op is a name, or `{name: value}`, or `{name: {field: value}}`"
    context.refuse(InvalidValue, "each item of `ops` must name one op", node.span, help=forms)
    return None


def _read_op(name: ScalarNode, value: Node | None, context: ReadContext) -> RuleOp | None:
    op = OPS.get(name.text)
    if op is None:
        message, known = f"unknown op `{name.text}`", ", ".join(f"`{one}`" for one in OPS)
        context.refuse(UnknownOp, message, name.span, label=did_you_mean(name.text, OPS), help=f"the ops are {known}")
        return None
    before = len(context.findings)
    fields = _read_fields(op, name, value, context)
    if len(context.findings) > before:
        return None
    over = fields.pop("over", None)
    over_node = value.get("over") if isinstance(value, MapNode) else None
    try:
        return RuleOp(op(**fields), over, name.span, over_node.span if over_node else None)
    except OpError as error:
        context.refuse(InvalidValue, f"`{op.name}`: {error}", (value or name).span)
        return None


def _read_fields(op: type[Op], name: ScalarNode, value: Node | None, context: ReadContext) -> dict[str, Any]:
    """Returns the op's fields by name; incomplete after a finding."""
    struct = _fields_of(op)
    if value is None or (isinstance(value, ScalarNode) and value.value is None):
        value = MapNode((), name.span, 1)
    if isinstance(value, MapNode):
        record = struct.read(value, context.inside(op.name))
        return dict(record.values) if isinstance(record, FieldValues) else {}
    if op.shorthand is None:
        struct.reject(value, context.inside(op.name))
        return {}
    return {op.shorthand: struct.by_name[op.shorthand].type.read(value, context.inside(op.name))}


def _item_json(op: type[Op]) -> JsonSchema:
    struct = _fields_of(op)
    forms = [struct.json()]
    if op.shorthand is not None:
        forms.append(struct.by_name[op.shorthand].type.json())
    if not any(param.required for param in op.params):
        forms.append({"type": "null"})
    value = {"description": (op.__doc__ or "").partition("\n")[0], "anyOf": forms}
    return {"type": "object", "properties": {op.name: value}, "required": [op.name], "additionalProperties": False}
