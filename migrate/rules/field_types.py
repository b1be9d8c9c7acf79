"""The types of rule-file fields.

A type reads a YAML node, reports its mistakes, and describes itself as JSON Schema. The tables in
`migrate.rules.schema` consist of these types, and both the loader and `migrate schema` use the tables, so that they
always agree.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, final

from migrate.codes import InvalidValue, MissingField, UnknownField
from migrate.errors import Code, Diagnostic, Span, did_you_mean, nearest
from migrate.rules.source import ListNode, MapNode, Node, ScalarNode, plain

JsonSchema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReadContext:
    """The name of the value being read, for messages, the list to which findings are added, and the names of the
    sources beside the main one.
    """

    name: str
    findings: list[Diagnostic]
    sources: frozenset[str] = frozenset()

    def inside(self, name: str) -> ReadContext:
        """Returns the context for a value inside this one."""
        return replace(self, name=name)

    def refuse(
        self, code: type[Code], message: str, span: Span, *, label: str | None = None, help: str | None = None
    ) -> None:
        """Adds a finding."""
        self.findings.append(code.at(message, span=span, label=label, help=help))


class FieldType(abc.ABC):
    """The type of a value; `phrase` completes the sentence "`field` must be …"."""

    @abc.abstractmethod
    def phrase(self) -> str:
        """Returns the expected value as the end of a sentence."""

    @abc.abstractmethod
    def read(self, node: Node, context: ReadContext) -> Any:
        """Returns the value, or None after a finding."""

    @abc.abstractmethod
    def json(self) -> JsonSchema:
        """Returns the JSON Schema (draft 7) of the value."""

    def reject(self, node: Node, context: ReadContext, label: str | None = None) -> None:
        """Refuses a node that is not of this type."""
        context.refuse(
            InvalidValue, f"`{context.name}` must be {self.phrase()}, not {describe_node(node)}", node.span, label=label
        )


def describe_node(node: Node) -> str:
    """Returns a node as text for a message."""
    if isinstance(node, ListNode):
        return f"a list of {len(node.items)}" if node.items else "an empty list"
    if isinstance(node, MapNode):
        return "a mapping"
    if node.value is None:
        return "empty" if not node.text else f"`{node.text}`"
    if isinstance(node.value, str):
        return f"the text `{_cropped(node.text)}`"
    return f"`{_cropped(node.text)}`"


def _cropped(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


@final
@dataclass(frozen=True)
class ChoiceType(FieldType):
    """One of several keywords."""

    words: tuple[str, ...]

    def phrase(self) -> str:
        return " or ".join(f"`{word}`" for word in self.words)

    def read(self, node: Node, context: ReadContext) -> str | None:
        if isinstance(node, ScalarNode) and node.value in self.words:
            return node.text
        self.reject(node, context, self.near(node))
        return None

    def near(self, node: Node) -> str | None:
        return did_you_mean(node.text, self.words) if isinstance(node, ScalarNode) else None

    def json(self) -> JsonSchema:
        return {"enum": list(self.words)}


@final
@dataclass(frozen=True)
class StringType(FieldType):
    """Text that matches the regular expression `form`."""

    form: str = ".*"
    wanted: str = "text"

    def phrase(self) -> str:
        return self.wanted

    def read(self, node: Node, context: ReadContext) -> str | None:
        if isinstance(node, ScalarNode) and isinstance(node.value, str) and re.fullmatch(self.form, node.value):
            return node.value
        self.reject(node, context)
        return None

    def json(self) -> JsonSchema:
        return {"type": "string"} if self.form == ".*" else {"type": "string", "pattern": f"^{self.form}$"}


@final
@dataclass(frozen=True)
class ScalarType(FieldType):
    """A scalar of one of the given Python types; `true` is not an integer."""

    kinds: tuple[type, ...]
    wanted: str

    def phrase(self) -> str:
        return self.wanted

    def read(self, node: Node, context: ReadContext) -> Any:
        if isinstance(node, ScalarNode) and type(node.value) in self.kinds:
            return node.value
        self.reject(node, context)
        return None

    def json(self) -> JsonSchema:
        names = {int: "integer", float: "number", bool: "boolean", str: "string"}
        found = [names[kind] for kind in self.kinds if not (kind is int and float in self.kinds)]
        # `${name}` stands for a value
        return {"type": found} if str in self.kinds else {"type": [*found, "string"], "pattern": r"^\$\{[^{}]*\}$"}


@final
@dataclass(frozen=True)
class CallableType(FieldType):
    """The name of a Python object, `module:callable`."""

    _text = StringType(r"[\w.]+:[\w.]+", "`module:callable`")

    def phrase(self) -> str:
        return self._text.phrase()

    def read(self, node: Node, context: ReadContext) -> str | None:
        meant = _meant(node.text) if isinstance(node, ScalarNode) else None
        if meant is None:
            return self._text.read(node, context)
        self.reject(node, context, f"did you mean `{meant}`?")
        return None

    def json(self) -> JsonSchema:
        return self._text.json()


def _meant(text: str) -> str | None:
    """Returns the name that was meant where the text names a file; the import is only needed for such texts."""
    if "/" not in text and ".py:" not in text:
        return None
    from migrate.template.spec_advice import meant_spec

    return meant_spec(text)


INT = ScalarType((int,), "an integer")
NUMBER = ScalarType((int, float), "a number")
FLAG = ScalarType((bool,), "`true` or `false`")
ARGUMENT = ScalarType((int, str), "text or an integer")
CALLABLE = CallableType()


@final
@dataclass(frozen=True)
class ListType(FieldType):
    """A list with items of one type, read as a tuple; `count` fixes its length."""

    item: FieldType
    wanted: str
    count: int | None = None

    def phrase(self) -> str:
        return self.wanted

    def read(self, node: Node, context: ReadContext) -> tuple[Any, ...] | None:
        if not isinstance(node, ListNode) or self.count not in (None, len(node.items)):
            self.reject(node, context)
            return None
        return tuple(self.item.read(item, context) for item in node.items)

    def json(self) -> JsonSchema:
        bounds = {} if self.count is None else {"minItems": self.count, "maxItems": self.count}
        return {"type": "array", "items": self.item.json(), **bounds}


@final
@dataclass(frozen=True)
class OneOrManyType(FieldType):
    """A value or a nonempty list of values; always read as a tuple."""

    item: FieldType

    def phrase(self) -> str:
        return f"{self.item.phrase()}, or a list of these"

    def read(self, node: Node, context: ReadContext) -> tuple[Any, ...] | None:
        if not isinstance(node, ListNode):
            return (self.item.read(node, context),)
        if not node.items:
            self.reject(node, context)
            return None
        return tuple(self.item.read(item, context) for item in node.items)

    def json(self) -> JsonSchema:
        item = self.item.json()
        return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


@final
@dataclass(frozen=True)
class SizesType(FieldType):
    """A mapping of names to integers, read as a tuple of pairs."""

    def phrase(self) -> str:
        return "a mapping of names to integers"

    def read(self, node: Node, context: ReadContext) -> tuple[tuple[str, int], ...] | None:
        if isinstance(node, MapNode):
            return tuple((key.text, INT.read(value, context.inside(key.text))) for key, value in node.entries)
        self.reject(node, context)
        return None

    def json(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": INT.json()}


@final
@dataclass(frozen=True)
class MapOfType(FieldType):
    """A mapping of any names to values of one type, read as a dict."""

    value: FieldType

    def phrase(self) -> str:
        return f"a mapping, with {self.value.phrase()} for each name"

    def read(self, node: Node, context: ReadContext) -> dict[str, Any] | None:
        if isinstance(node, MapNode):
            return {key.text: self.value.read(value, context.inside(key.text)) for key, value in node.entries}
        self.reject(node, context)
        return None

    def json(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": self.value.json()}


@final
@dataclass(frozen=True)
class AnyMappingType(FieldType):
    """A mapping with arbitrary content."""

    def phrase(self) -> str:
        return "a mapping"

    def read(self, node: Node, context: ReadContext) -> dict[str, Any] | None:
        if isinstance(node, MapNode):
            return dict(plain(node))
        self.reject(node, context)
        return None

    def json(self) -> JsonSchema:
        return {"type": "object"}


@final
@dataclass(frozen=True)
class ArgumentsType(FieldType):
    """A mapping of names to text or integers."""

    def phrase(self) -> str:
        return "a mapping of names to text or integers"

    def read(self, node: Node, context: ReadContext) -> dict[str, str | int] | None:
        if not isinstance(node, MapNode):
            self.reject(node, context)
            return None
        return {key.text: ARGUMENT.read(one, context.inside(key.text)) for key, one in node.entries}

    def json(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": {"type": ["string", "integer"]}}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a mapping."""

    name: str
    type: FieldType
    doc: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class FieldValues:
    """The field values of a mapping, and its node."""

    node: MapNode
    values: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """Returns the value of a field, or the default if the field is absent."""
        return self.values.get(name, default)


@final
@dataclass(frozen=True)
class MappingType(FieldType):
    """A mapping with known fields.

    Attributes:
      title: its name in messages, such as "a `create` rule".
      unknown, missing: the diagnostics for unknown and for missing fields.
    """

    title: str
    fields: tuple[Field, ...]
    unknown: type[Code] = UnknownField
    missing: type[Code] = MissingField

    def phrase(self) -> str:
        return f"a mapping of {', '.join(f'`{name}`' for name in self.by_name)}"

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        """The fields by name."""
        return {one.name: one for one in self.fields}

    def read(self, node: Node, context: ReadContext) -> FieldValues | None:
        if not isinstance(node, MapNode):
            self.reject(node, context)
            return None
        unknown_keys = [key for key, _ in node.entries if key.text not in self.by_name]
        for key in unknown_keys:
            self._refuse_unknown(key, context)
        self._refuse_missing(node, unknown_keys, context)
        return FieldValues(node, dict(self._values(node, context)))

    def _values(self, node: MapNode, context: ReadContext) -> Iterable[tuple[str, Any]]:
        for key, value in node.entries:
            if key.text in self.by_name:
                yield key.text, self.by_name[key.text].type.read(value, context.inside(key.text))

    def _refuse_unknown(self, key: ScalarNode, context: ReadContext) -> None:
        message = f"{self.title} has no field `{_cropped(key.text)}`"
        context.refuse(self.unknown, message, key.span, label=did_you_mean(key.text, self.by_name), help=self._listing)

    def _refuse_missing(self, node: MapNode, unknown_keys: Sequence[ScalarNode], context: ReadContext) -> None:
        """Reports missing fields, except misspelled ones, which were already reported as unknown."""
        meant = {nearest(key.text, self.by_name) for key in unknown_keys}
        present = {key.text for key, _ in node.entries}
        for one in self.fields:
            if one.required and one.name not in present | meant:
                context.refuse(
                    self.missing, f"{self.title} needs the field `{one.name}`", head_span(node), help=self._listing
                )

    @property
    def _listing(self) -> str:
        names = ", ".join(f"`{name}`" for name in self.by_name)
        return f"its fields: {names}" if names else "it has no fields; write only its name"

    def json(self) -> JsonSchema:
        required = [one.name for one in self.fields if one.required]
        return {
            "type": "object",
            "properties": {one.name: {"description": one.doc, **one.type.json()} for one in self.fields},
            "additionalProperties": False,
            **({"required": required} if required else {}),
        }


def head_span(node: Node) -> Span:
    """Returns the span of a node; of the first key for a mapping, because a caret under a whole block is no help."""
    return node.entries[0][0].span if isinstance(node, MapNode) and node.entries else node.span
