"""The type of the `ops:` list: one op per item, with the fields that the op declares.

This module depends on no particular op: an op's `params` declare its fields, and the table below gives the field type
of each parameter type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, final

from migrate import dtypes
from migrate.codes import InvalidOpField, InvalidValue, UnknownOp
from migrate.errors import did_you_mean
from migrate.ops.arithmetic import value_of
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
    OneOrManyType,
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


_INPUT = StringType(r"[A-Za-z_][A-Za-z0-9_]*", "a name that `from` binds")


@final
@dataclass(frozen=True)
class _Arithmetic(FieldType):
    def phrase(self) -> str:
        return "a number, or arithmetic such as `1/sqrt(16)`"

    def read(self, node: Node, context: ReadContext) -> int | float | str | None:
        if not isinstance(node, ScalarNode) or not isinstance(node.value, str):
            number: int | float | None = NUMBER.read(node, context)
            return number
        try:
            value_of(node.text)
        except OpError as error:
            self.reject(node, context, str(error))
            return None
        return node.text

    def json(self) -> JsonSchema:
        return {"anyOf": [NUMBER.json(), {"type": "string"}]}


_TYPES: Mapping[ParamType, FieldType] = {
    "int": INT,
    "ints": _INTS,
    "str": StringType(),
    "bool": FLAG,
    "number": NUMBER,
    "arithmetic": _Arithmetic(),
    "dtype": _Dtype(),
    "shape": _Shape(),
    "pairs": ListType(ListType(INT, "a list of two integers", count=2), "a list of pairs of integers"),
    "sizes": SizesType(),
    "names": OneOrManyType(_INPUT),
}

_OVER = {
    "reduce": Field(
        "over", StringType(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a capture"), "the capture of `from` to reduce over"
    ),
    "extend": Field(
        "over", StringType(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a capture"), "the new name in `to` to extend over"
    ),
}

_OF = Field("of", _INPUT, "the name in `from` of the only array that it applies to (default: all arrays)")


@cache
def _fields_of(op: type[Op]) -> MappingType:
    """Returns the type of an op's fields in a rule file."""
    own = tuple(Field(one.name, _TYPES[one.type], one.doc, one.required) for one in op.params)
    over = (_OVER[op.role],) if op.role in _OVER else ()
    of = (_OF,) if op.role == "map" and _OF.name not in _own_fields(op) else ()
    return MappingType(f"`{op.name}`", own + over + of, unknown=InvalidOpField, missing=InvalidOpField)


@final
@dataclass(frozen=True)
class OpList(FieldType):
    """A list of ops; each item is an op's name, or a mapping of the name to its fields or its shorthand value.

    Attributes:
      known: the ops by name.
    """

    known: Mapping[str, type[Op]] = field(default_factory=lambda: OPS)

    def phrase(self) -> str:
        return "a list of ops"

    def read(self, node: Node, context: ReadContext) -> tuple[RuleOp | None, ...] | None:
        if isinstance(node, ListNode):
            return tuple(_read_item(item, self.known, context) for item in node.items)
        self.reject(node, context, "write it as a list: `[{…}]`" if isinstance(node, MapNode) else None)
        return None

    def json(self) -> JsonSchema:
        bare = [name for name, op in self.known.items() if not any(param.required for param in op.params)]
        return {"type": "array", "items": {"anyOf": [{"enum": bare}, *map(_item_json, self.known.values())]}}


def _read_item(node: Node, known: Mapping[str, type[Op]], context: ReadContext) -> RuleOp | None:
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        return _read_op(node, None, known, context)
    if isinstance(node, MapNode) and len(node.entries) == 1:
        return _read_op(*node.entries[0], known, context)
    forms = "an op is a name, or `{name: value}`, or `{name: {field: value}}`"
    context.refuse(InvalidValue, "each item of `ops` must name one op", node.span, help=forms)
    return None


def _read_op(
    name: ScalarNode, value: Node | None, known: Mapping[str, type[Op]], context: ReadContext
) -> RuleOp | None:
    op = known.get(name.text)
    if op is None:
        message, listing = f"unknown op `{name.text}`", ", ".join(f"`{one}`" for one in OPS)
        label = did_you_mean(name.text, OPS)
        context.refuse(UnknownOp, message, name.span, label=label, help=f"the ops are {listing}")
        return None
    before = len(context.findings)
    fields = _read_fields(op, name, value, context)
    if len(context.findings) > before:
        return None
    over, of = fields.pop("over", None), None if "of" in _own_fields(op) else fields.pop("of", None)
    over_node, of_node = (value.get(one) if isinstance(value, MapNode) else None for one in ("over", "of"))
    try:
        return RuleOp(
            op(**fields),
            over,
            name.span,
            over_node.span if over_node else None,
            of,
            of_node.span if of_node else None,
        )
    except OpError as error:
        context.refuse(InvalidValue, f"`{op.name}`: {error}", (value or name).span)
        return None


def _own_fields(op: type[Op]) -> set[str]:
    return {param.name for param in op.params}


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
    value = {"description": (op.__doc__ or "").partition("\n")[0] + _inputs(op), "anyOf": forms}
    return {"type": "object", "properties": {op.name: value}, "required": [op.name], "additionalProperties": False}


def _inputs(op: type[Op]) -> str:
    """Returns the sentence about the inputs of an op that combines arrays; empty for other ops."""
    inputs = [f"`{one.name}`, {one.doc}{'' if one.required else ' (optional)'}" for one in op.inputs]
    return f" Inputs: {'; '.join(inputs)}." if inputs else ""
