"""What a field of a rule file may hold.

A type does two things: it reads a node and says what is wrong with it, and it describes itself as JSON Schema. So the
loader and `migrate schema` cannot disagree: both go through the tables in `migrate.rules.schema`, which are made of
these types.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

from migrate.codes import InvalidValue, MissingField, UnknownField
from migrate.errors import Code, Diagnostic, Span, did_you_mean, nearest
from migrate.rules.source import ListNode, MapNode, Node, ScalarNode, plain

JsonSchema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Where:
    """What a message calls the value that is being read, and the list that findings go to."""

    name: str
    findings: list[Diagnostic]

    def inside(self, name: str) -> Where:
        """The same for a value inside this one."""
        return Where(name, self.findings)

    def refuse(
        self, code: type[Code], message: str, span: Span, *, label: str | None = None, help: str | None = None
    ) -> None:
        """Adds a finding."""
        self.findings.append(code.at(message, span=span, label=label, help=help))


class Type(abc.ABC):
    """What a value may be. `phrase` completes the sentence "`field` must be …"."""

    @abc.abstractmethod
    def phrase(self) -> str:
        """What it wants, as the end of a sentence."""

    @abc.abstractmethod
    def read(self, node: Node, where: Where) -> Any:
        """The value; None after a finding, and then nothing may be built from it."""

    @abc.abstractmethod
    def json(self) -> JsonSchema:
        """The JSON Schema of such a value, of draft 7."""

    def wrong(self, node: Node, where: Where, label: str | None = None) -> None:
        """Refuses a node that is not of this type."""
        where.refuse(InvalidValue, f"`{where.name}` must be {self.phrase()}, not {shown(node)}", node.span, label=label)


def shown(node: Node) -> str:
    """A node as a message names it."""
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
class Word(Type):
    """One of a few words."""

    words: tuple[str, ...]

    def phrase(self) -> str:
        return " or ".join(f"`{word}`" for word in self.words)

    def read(self, node: Node, where: Where) -> str | None:
        if isinstance(node, ScalarNode) and node.value in self.words:
            return node.text
        self.wrong(node, where, did_you_mean(node.text, self.words) if isinstance(node, ScalarNode) else None)
        return None

    def json(self) -> JsonSchema:
        return {"enum": list(self.words)}


@final
@dataclass(frozen=True)
class Str(Type):
    """Text, where `form` says of which form."""

    form: str = ".*"
    wanted: str = "text"

    def phrase(self) -> str:
        return self.wanted

    def read(self, node: Node, where: Where) -> str | None:
        if isinstance(node, ScalarNode) and isinstance(node.value, str) and re.fullmatch(self.form, node.value):
            return node.value
        self.wrong(node, where)
        return None

    def json(self) -> JsonSchema:
        return {"type": "string"} if self.form == ".*" else {"type": "string", "pattern": f"^{self.form}$"}


@final
@dataclass(frozen=True)
class Scalar(Type):
    """A scalar of one of the given Python types; `true` is no integer."""

    kinds: tuple[type, ...]
    wanted: str

    def phrase(self) -> str:
        return self.wanted

    def read(self, node: Node, where: Where) -> Any:
        if isinstance(node, ScalarNode) and type(node.value) in self.kinds:
            return node.value
        self.wrong(node, where)
        return None

    def json(self) -> JsonSchema:
        names = {int: "integer", float: "number", bool: "boolean", str: "string"}
        found = [names[kind] for kind in self.kinds if not (kind is int and float in self.kinds)]
        return {"type": found[0] if len(found) == 1 else found}


INT = Scalar((int,), "an integer")
NUMBER = Scalar((int, float), "a number")
FLAG = Scalar((bool,), "`true` or `false`")


@final
@dataclass(frozen=True)
class ListOf(Type):
    """A list whose items are of one type; a tuple when read. `count` fixes how many there are."""

    item: Type
    wanted: str
    count: int | None = None

    def phrase(self) -> str:
        return self.wanted

    def read(self, node: Node, where: Where) -> tuple[Any, ...] | None:
        if not isinstance(node, ListNode) or self.count not in (None, len(node.items)):
            self.wrong(node, where)
            return None
        return tuple(self.item.read(item, where) for item in node.items)

    def json(self) -> JsonSchema:
        bounds = {} if self.count is None else {"minItems": self.count, "maxItems": self.count}
        return {"type": "array", "items": self.item.json(), **bounds}


@final
@dataclass(frozen=True)
class OneOrMany(Type):
    """A value, or a list of one or more; always a tuple when read."""

    item: Type

    def phrase(self) -> str:
        return f"{self.item.phrase()}, or a list of such"

    def read(self, node: Node, where: Where) -> tuple[Any, ...] | None:
        if not isinstance(node, ListNode):
            return (self.item.read(node, where),)
        if not node.items:
            self.wrong(node, where)
            return None
        return tuple(self.item.read(item, where) for item in node.items)

    def json(self) -> JsonSchema:
        item = self.item.json()
        return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


@final
@dataclass(frozen=True)
class Sizes(Type):
    """A mapping of names to integers; a tuple of pairs when read."""

    def phrase(self) -> str:
        return "a mapping of names to integers"

    def read(self, node: Node, where: Where) -> tuple[tuple[str, int], ...] | None:
        if isinstance(node, MapNode):
            return tuple((key.text, INT.read(value, where.inside(key.text))) for key, value in node.entries)
        self.wrong(node, where)
        return None

    def json(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": {"type": "integer"}}


@final
@dataclass(frozen=True)
class PlainMap(Type):
    """A mapping of anything."""

    def phrase(self) -> str:
        return "a mapping"

    def read(self, node: Node, where: Where) -> dict[str, Any] | None:
        if isinstance(node, MapNode):
            return dict(plain(node))
        self.wrong(node, where)
        return None

    def json(self) -> JsonSchema:
        return {"type": "object"}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a mapping."""

    name: str
    type: Type
    doc: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping that was read: values and nodes of the fields that it has."""

    node: MapNode
    values: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a field, or the default when it is not there."""
        return self.values.get(name, default)


@final
@dataclass(frozen=True)
class Struct(Type):
    """A mapping with known fields.

    Attributes:
      title: what messages call it, such as "a `create` rule".
      unknown, missing: the codes for a field too many and a field too few.
    """

    title: str
    fields: tuple[Field, ...]
    unknown: type[Code] = UnknownField
    missing: type[Code] = MissingField

    def phrase(self) -> str:
        return f"a mapping of {', '.join(f'`{name}`' for name in self.by_name)}"

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        """The fields by their names."""
        return {one.name: one for one in self.fields}

    def read(self, node: Node, where: Where) -> Record | None:
        if not isinstance(node, MapNode):
            self.wrong(node, where)
            return None
        strangers = [key for key, _ in node.entries if key.text not in self.by_name]
        for key in strangers:
            self._refuse_stranger(key, where)
        self._refuse_gaps(node, strangers, where)
        return Record(node, dict(self._values(node, where)))

    def _values(self, node: MapNode, where: Where) -> Iterable[tuple[str, Any]]:
        for key, value in node.entries:
            if key.text in self.by_name:
                yield key.text, self.by_name[key.text].type.read(value, where.inside(key.text))

    def _refuse_stranger(self, key: ScalarNode, where: Where) -> None:
        message = f"{self.title} has no field `{_cropped(key.text)}`"
        where.refuse(self.unknown, message, key.span, label=did_you_mean(key.text, self.by_name), help=self._listing)

    def _refuse_gaps(self, node: MapNode, strangers: Sequence[ScalarNode], where: Where) -> None:
        """A required field that is misspelled was reported already, as a stranger."""
        meant = {nearest(key.text, self.by_name) for key in strangers}
        present = {key.text for key, _ in node.entries}
        for one in self.fields:
            if one.required and one.name not in present | meant:
                where.refuse(self.missing, f"{self.title} needs a field `{one.name}`", head(node), help=self._listing)

    @property
    def _listing(self) -> str:
        names = ", ".join(f"`{name}`" for name in self.by_name)
        return f"its fields: {names}" if names else "it has no fields; write its name alone"

    def json(self) -> JsonSchema:
        required = [one.name for one in self.fields if one.required]
        return {
            "type": "object",
            "properties": {one.name: {"description": one.doc, **one.type.json()} for one in self.fields},
            "additionalProperties": False,
            **({"required": required} if required else {}),
        }


def head(node: Node) -> Span:
    """The place of a node, of a mapping its first key: a caret under a whole block would say nothing."""
    return node.entries[0][0].span if isinstance(node, MapNode) and node.entries else node.span
