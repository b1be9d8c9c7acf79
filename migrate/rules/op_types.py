"""The `ops:` list: a name per item, and the fields that the op itself declares.

Nothing is written here about any single op. An op's `params` say which fields it has; the table below says what each
type of parameter looks like in a rule file.
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
    JsonSchema,
    ListOf,
    Record,
    Sizes,
    Str,
    Struct,
    Type,
    Where,
)
from migrate.rules.model import RuleOp
from migrate.rules.source import ListNode, MapNode, Node, ScalarNode

_INTS = ListOf(INT, "a list of integers")


@final
@dataclass(frozen=True)
class _Dtype(Type):
    def phrase(self) -> str:
        return "the name of a dtype, or `template`"

    def read(self, node: Node, where: Where) -> str | None:
        if isinstance(node, ScalarNode) and (node.value == TEMPLATE or dtypes.is_name(node.text)):
            return node.text
        self.wrong(node, where, did_you_mean(node.text, dtypes.NAMES) if isinstance(node, ScalarNode) else None)
        return None

    def json(self) -> JsonSchema:
        return {"enum": [TEMPLATE, *dtypes.NAMES]}


@final
@dataclass(frozen=True)
class _Shape(Type):
    def phrase(self) -> str:
        return "a list of integers, or `template`"

    def read(self, node: Node, where: Where) -> tuple[int, ...] | str | None:
        if isinstance(node, ScalarNode) and node.value == TEMPLATE:
            return TEMPLATE
        if isinstance(node, ListNode):
            return _INTS.read(node, where)
        self.wrong(node, where)
        return None

    def json(self) -> JsonSchema:
        return {"anyOf": [{"const": TEMPLATE}, _INTS.json()]}


_TYPES: Mapping[ParamType, Type] = {
    "int": INT,
    "ints": _INTS,
    "str": Str(),
    "bool": FLAG,
    "number": NUMBER,
    "dtype": _Dtype(),
    "shape": _Shape(),
    "pairs": ListOf(ListOf(INT, "made of pairs of integers", count=2), "a list of pairs of integers"),
    "sizes": Sizes(),
}

_OVER = {
    "reduce": Field(
        "over", Str(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a capture"), "the capture of `from` to reduce over"
    ),
    "extend": Field(
        "over", Str(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a capture"), "the new name in `to` to extend over"
    ),
}


@cache
def _struct(op: type[Op]) -> Struct:
    """The fields of an op as a rule file has them."""
    own = tuple(Field(param.name, _TYPES[param.type], param.doc, param.required) for param in op.params)
    over = (_OVER[op.role],) if op.role in _OVER else ()
    return Struct(f"`{op.name}`", own + over, unknown=InvalidOpField, missing=InvalidOpField)


@final
@dataclass(frozen=True)
class OpList(Type):
    """A list of ops; each item is the op's name, or a mapping of the name to its fields or to its shorthand value."""

    def phrase(self) -> str:
        return "a list of ops"

    def read(self, node: Node, where: Where) -> tuple[RuleOp | None, ...] | None:
        if isinstance(node, ListNode):
            return tuple(_read_item(item, where) for item in node.items)
        self.wrong(node, where, "put it in brackets" if isinstance(node, MapNode) else None)
        return None

    def json(self) -> JsonSchema:
        bare = [name for name, op in OPS.items() if not any(param.required for param in op.params)]
        return {"type": "array", "items": {"anyOf": [{"enum": bare}, *map(_item_json, OPS.values())]}}


def _read_item(node: Node, where: Where) -> RuleOp | None:
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        return _read_op(node, None, where)
    if isinstance(node, MapNode) and len(node.entries) == 1:
        return _read_op(*node.entries[0], where)
    forms = "an op is a name, or `{name: value}`, or `{name: {field: value}}`"
    where.refuse(InvalidValue, "each item of `ops` names one op", node.span, help=forms)
    return None


def _read_op(name: ScalarNode, value: Node | None, where: Where) -> RuleOp | None:
    op = OPS.get(name.text)
    if op is None:
        message, known = f"there is no op `{name.text}`", ", ".join(f"`{one}`" for one in OPS)
        where.refuse(UnknownOp, message, name.span, label=did_you_mean(name.text, OPS), help=f"the ops are {known}")
        return None
    before = len(where.findings)
    fields = _read_fields(op, name, value, where)
    if len(where.findings) > before:
        return None
    over = fields.pop("over", None)
    over_node = value.get("over") if isinstance(value, MapNode) else None
    try:
        return RuleOp(op(**fields), over, name.span, over_node.span if over_node else None)
    except OpError as error:
        where.refuse(InvalidValue, f"`{op.name}`: {error}", (value or name).span)
        return None


def _read_fields(op: type[Op], name: ScalarNode, value: Node | None, where: Where) -> dict[str, Any]:
    """The op's fields by name; incomplete after a finding."""
    struct = _struct(op)
    if value is None or (isinstance(value, ScalarNode) and value.value is None):
        value = MapNode((), name.span, 1)
    if isinstance(value, MapNode):
        record = struct.read(value, where.inside(op.name))
        return dict(record.values) if isinstance(record, Record) else {}
    if op.shorthand is None:
        struct.wrong(value, where.inside(op.name))
        return {}
    return {op.shorthand: struct.by_name[op.shorthand].type.read(value, where.inside(op.name))}


def _item_json(op: type[Op]) -> JsonSchema:
    struct = _struct(op)
    forms = [struct.json()]
    if op.shorthand is not None:
        forms.append(struct.by_name[op.shorthand].type.json())
    if not any(param.required for param in op.params):
        forms.append({"type": "null"})
    value = {"description": (op.__doc__ or "").partition("\n")[0], "anyOf": forms}
    return {"type": "object", "properties": {op.name: value}, "required": [op.name], "additionalProperties": False}
