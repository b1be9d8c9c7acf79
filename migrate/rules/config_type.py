"""The rules of `config:`, which rename, set, compute and drop hyperparameters and the content of JSON items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

from migrate.codes import InvalidValue, MissingField
from migrate.errors import Diagnostic, Span
from migrate.rules.build import move_problems
from migrate.rules.field_types import (
    FLAG,
    Field,
    FieldType,
    FieldValues,
    JsonSchema,
    MappingType,
    OneOrManyType,
    ReadContext,
    StringType,
    head_span,
)
from migrate.rules.formula import Term
from migrate.rules.model import ConfigRule, Move
from migrate.rules.pattern_types import LocatedPattern, SourcePattern, TargetPattern, read_line
from migrate.rules.source import MapNode, Node, ScalarNode
from migrate.rules.value_type import ValueType

_SOURCES = OneOrManyType(SourcePattern())


@final
@dataclass(frozen=True)
class _DropType(FieldType):
    """Patterns, or `true` beside `from`."""

    def phrase(self) -> str:
        return "a pattern or a list of patterns; or `true`, beside `from`"

    def read(self, node: Node, context: ReadContext) -> tuple[LocatedPattern | None, ...] | None:
        if isinstance(node, ScalarNode) and node.value is True:
            return ()
        if isinstance(node, ScalarNode) and isinstance(node.value, bool):
            self.reject(node, context)
            return None
        return _SOURCES.read(node, context)

    def json(self) -> JsonSchema:
        return {"anyOf": [_SOURCES.json(), {"const": True}]}


_FIELDS = (
    Field("in", StringType(r"(?s:.+)", "the name of a JSON item"), "the JSON item (default: the checkpoint's record)"),
    Field("from", _SOURCES, "the names that are moved, dropped, or replaced by `value`: a pattern or a list of them"),
    Field("to", TargetPattern(), "the name that is written: a pattern"),
    Field("value", ValueType(), "the value of `to`: JSON, or integer arithmetic over names in braces"),
    Field("drop", _DropType(), "the names to drop; `true` drops those of `from`"),
    Field("except", _SOURCES, "patterns of names that the rule does not apply to"),
    Field("optional", FLAG, "whether the rule may match nothing (default: false)"),
)
_FORMS = "a line `from -> to`, or a mapping with `from` and `to`, with `to` and `value`, or with `drop`"


@final
@dataclass(frozen=True)
class ConfigRuleType(FieldType):
    """A line `from -> to`, or a mapping; `more` are fields of a plan file, which are not kept."""

    more: tuple[Field, ...] = ()

    @property
    def fields(self) -> MappingType:
        """The fields of a mapping."""
        return MappingType("a `config` rule", (*_FIELDS, *self.more))

    def phrase(self) -> str:
        return _FORMS

    def read(self, node: Node, context: ReadContext) -> ConfigRule | None:
        before = len(context.findings)
        rule = self._read(node, context)
        return rule if len(context.findings) == before else None

    def _read(self, node: Node, context: ReadContext) -> ConfigRule | None:
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            source, target = read_line(node, context)
            return _rule(FieldValues(MapNode((), node.span, 1), {"from": (source,), "to": target}), context)
        if not isinstance(node, MapNode):
            self.reject(node, context)
            return None
        before = len(context.findings)
        record = self.fields.read(node, context)
        return _rule(record, context) if record is not None and len(context.findings) == before else None

    def json(self) -> JsonSchema:
        line = {"type": "string", "pattern": r"^.*\s->\s.*$", "description": "a rename: `from -> to`"}
        return {"anyOf": [line, self.fields.json()]}


def _rule(record: FieldValues, context: ReadContext) -> ConfigRule | None:
    placed: Sequence[LocatedPattern | None] = record.get("from") or record.get("drop") or ()
    target: LocatedPattern | None = record.get("to")
    value: Term | None = record.get("value")
    span = _span(record, placed, target)
    problem = _problem(record)
    if problem is not None:
        context.refuse(MissingField, problem, span, help=f"a `config` rule is {_FORMS}")
    sources = [one for one in placed if one is not None]
    if problem is not None or len(sources) < len(placed):
        return None
    if target is not None:
        context.findings.extend(_target_problems(sources, target, value))
    return ConfigRule(
        span=span,
        item=record.get("in", ""),
        sources=tuple(one.pattern for one in sources),
        target=target.pattern if target else None,
        value=value,
        excepts=tuple(one.pattern for one in record.get("except", ()) if one is not None),
        optional=record.get("optional", False),
    )


def _span(record: FieldValues, placed: Sequence[LocatedPattern | None], target: LocatedPattern | None) -> Span:
    first = next((one for one in (*placed, target) if one is not None), None)
    return first.span if first is not None and record.node.entries else head_span(record.node)


def _problem(record: FieldValues) -> str | None:
    """Returns why the fields make no rule; None if they do."""
    given = record.values.keys()
    drop = record.get("drop")
    if "drop" in given:
        if given & {"to", "value"}:
            return "a rule with `drop` has neither `to` nor `value`"
        if drop == () and "from" not in given:
            return "`drop: true` drops the names of `from`, which is missing"
        return (
            "`drop` has the names already: remove `from`, or write `drop: true`" if drop and "from" in given else None
        )
    if "to" not in given:
        return "this `config` rule has neither `to` nor `drop`"
    return None if given & {"from", "value"} else "this `config` rule has neither `from` nor `value`"


def _target_problems(
    sources: Sequence[LocatedPattern], target: LocatedPattern, value: Term | None
) -> Iterator[Diagnostic]:
    """Yields what is wrong with a rule that writes: names that are not captured, and wildcards beside a value."""
    if value is None:
        move = Move(tuple(one.pattern for one in sources), (target.pattern,), target.span)
        yield from (replace(one, help=(one.help or "").partition(";")[0]) for one in move_problems(move, [target]))
        return
    for placed in (*sources, target):
        if not placed.pattern.is_literal:
            message = f"`{placed.pattern}` has a wildcard, which a rule with `value` cannot have"
            yield InvalidValue.at(message, span=placed.span, help="write one rule for each name")
