"""The rule file's fields, declared once: the loader reads by these tables and `migrate schema` prints them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from migrate.codes import MissingField
from migrate.errors import nearest
from migrate.rules.build import build_create, build_drop, build_move, misfits, misplaced
from migrate.rules.field_types import (
    FLAG,
    INT,
    Field,
    JsonSchema,
    ListOf,
    OneOrMany,
    PlainMap,
    Record,
    Scalar,
    Str,
    Struct,
    Type,
    Where,
    Word,
    head,
)
from migrate.rules.model import Include, Rule
from migrate.rules.op_types import OpList
from migrate.rules.pattern_types import REGEX, SourcePattern, TargetPattern, read_line
from migrate.rules.source import MapNode, Node, ScalarNode

VERSION = 1
"""The only version of the rule language so far."""

_SOURCES = OneOrMany(SourcePattern())
_EXCEPT = Field("except", _SOURCES, "patterns of leaves that the rule leaves alone")
_OPTIONAL = Field("optional", FLAG, "whether the rule may match nothing; false by default")
_HASH = Str(r"sha256:[0-9a-f]{64}", "`sha256:` and 64 hexadecimal digits")
_CALLABLE = Str(r"[\w.]+:[\w.]+", "`module:callable`")
_VERSION = Scalar((int, str), "an integer or text")

MOVE = Struct(
    "a rule",
    (
        Field(
            "from", _SOURCES, "which source leaves: a pattern, a list of them, or a regular expression", required=True
        ),
        Field("to", OneOrMany(TargetPattern()), "where they go: a pattern, or a list of them", required=True),
        Field("ops", OpList(), "what happens to the arrays on the way, in order"),
        _EXCEPT,
        _OPTIONAL,
        Field(
            "moments",
            Word(("follow", "reset")),
            "whether optimizer moments follow these params, which is the default, or start anew",
        ),
    ),
)

DROP = Struct(
    "a `drop` rule",
    (
        Field("from", _SOURCES, "which source leaves are left behind", required=True),
        Field("assert", Word(("zero",)), "refuse to drop a leaf that is not all zero"),
        _EXCEPT,
        _OPTIONAL,
    ),
)

_SEED = Struct("`rng`", (Field("seed", INT, "the seed of the random key", required=True),))
_CONSTANT = Scalar((int, float, bool), "a number, `true` or `false`")


_WORDS = Word(("zeros", "ones", "template"))
_VALUES = Struct(
    "`init`",
    (
        Field("constant", _CONSTANT, "every element has this value"),
        Field("rng", _SEED, "random keys and counters from a seed"),
    ),
)


@final
@dataclass(frozen=True)
class _Init(Type):
    """A word, or a mapping with one key."""

    def phrase(self) -> str:
        return "`zeros`, `ones`, `template`, `{constant: x}` or `{rng: {seed: s}}`"

    def read(self, node: Node, where: Where) -> str | Record | None:
        if isinstance(node, MapNode) and len(node.entries) == 1:
            return _VALUES.read(node, where)
        if isinstance(node, ScalarNode) and node.value in _WORDS.words:
            return node.text
        self.wrong(node, where)
        return None

    def json(self) -> JsonSchema:
        return {"anyOf": [_WORDS.json(), {**_VALUES.json(), "minProperties": 1, "maxProperties": 1}]}


CREATE = Struct(
    "a `create` rule",
    (
        Field("to", _SOURCES, "which target leaves: a pattern, or a list of them", required=True),
        Field("init", _Init(), "the value that they get", required=True),
        _EXCEPT,
        _OPTIONAL,
    ),
)


@final
@dataclass(frozen=True)
class _Dropped(Type):
    """What stands after `drop:`: patterns alone, or a mapping with more."""

    def phrase(self) -> str:
        return "a pattern, a list of them, or a mapping of `from`, `assert`, `except`, `optional`"

    def read(self, node: Node, where: Where) -> Record | None:
        if isinstance(node, MapNode) and node.get("regex") is None:
            return DROP.read(node, where)
        return Record(MapNode((), node.span, 1), {"from": _SOURCES.read(node, where)})

    def json(self) -> JsonSchema:
        return {"anyOf": [_SOURCES.json(), DROP.json()]}


_DROP_RULE = Struct("a `drop` rule", (Field("drop", _Dropped(), "which source leaves are left behind", required=True),))
_CREATE_RULE = Struct("a `create` rule", (Field("create", CREATE, "target leaves without a source", required=True),))


_FORMS = "a line `from -> to`, or a mapping of `from` and `to`, or `drop`, or `create`"


@final
@dataclass(frozen=True)
class RuleType(Type):
    """A line `from -> to`, or a mapping of one of three forms."""

    def phrase(self) -> str:
        return _FORMS

    def read(self, node: Node, where: Where) -> Rule | None:
        before = len(where.findings)
        rule = self._read(node, where)
        return rule if len(where.findings) == before else None

    def _read(self, node: Node, where: Where) -> Rule | None:
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            source, target = read_line(node, where)
            return _move({"from": (source,), "to": (target,)}, None, where)
        if not isinstance(node, MapNode):
            self.wrong(node, where)
            return None
        return _read_mapping(node, where)

    def json(self) -> JsonSchema:
        line = {"type": "string", "pattern": r"^.*\s->\s.*$", "description": "a rename: `from -> to`"}
        return {"anyOf": [line, MOVE.json(), _DROP_RULE.json(), _CREATE_RULE.json()]}


def _read_mapping(node: MapNode, where: Where) -> Rule | None:
    form = _form(node)
    if form is None:
        where.refuse(MissingField, "this is no rule: nothing says what it does", head(node), help=f"a rule is {_FORMS}")
        return None
    before = len(where.findings)
    record = form.read(node, where)
    if record is None or len(where.findings) > before:
        return None
    if form is _DROP_RULE:
        return build_drop(record.get("drop"))
    if form is _CREATE_RULE:
        return build_create(record.get("create"))
    return _move(record.values, record, where)


def _form(node: MapNode) -> Struct | None:
    """Which of the three forms a mapping means, misspelled or not."""
    forms = {"drop": _DROP_RULE, "create": _CREATE_RULE, "from": MOVE, "to": MOVE}
    keys = [key.text for key, _ in node.entries]
    for word, form in forms.items():
        if word in keys:
            return form
    return next((forms[near] for key in keys if (near := nearest(key, forms, cutoff=0.7))), None)


def _move(values: Any, record: Record | None, where: Where) -> Rule | None:
    sources, targets = values["from"], values["to"]
    if None in sources or None in targets:
        return None
    move = build_move(sources, targets, record)
    where.findings.extend(misfits(move, targets))
    return move


SOURCE = Struct(
    "`source`",
    (
        Field("model", Str(), "the model's name; compared with the checkpoint's metadata"),
        Field("version", _VERSION, "the model's version; compared with the checkpoint's metadata"),
        Field("structure", _HASH, "the structure hash of the source, as `migrate inspect` prints it"),
        Field("unbox", Word(("auto", "never")), "whether Flax's `value` level on disk is left out of key paths"),
    ),
)

TARGET = Struct(
    "`target`",
    (
        Field("model", Str(), "the model's name; recorded in the new checkpoint's metadata"),
        Field("version", _VERSION, "the model's version; recorded in the new checkpoint's metadata"),
        Field("template", _CALLABLE, "a callable that makes the model, `module:callable`"),
        Field("args", PlainMap(), "keyword arguments of the template's callable"),
        Field("structure", _HASH, "the structure hash of the template, pinned"),
        Field(
            "layout",
            Word(("state", "pure_dict", "items")),
            "what is written: `nnx.state`, a pure dict, or one item per part",
        ),
    ),
)

UNMATCHED = Struct(
    "`unmatched`",
    (
        Field("source", Word(("error", "drop")), "what becomes of a source leaf that nothing uses"),
        Field("target", Word(("error", "template")), "what becomes of a target leaf that nothing fills"),
    ),
)

INCLUDE = Struct(
    "an include",
    (
        Field("file", Str(), "a bundled rule file's name, or a path from this file's folder", required=True),
        Field("under", TargetPattern(), "the place of the source under which its rules look; `.` by default"),
        Field("to", TargetPattern(), "the place of the target to which they lead; `under` by default"),
    ),
)


@final
@dataclass(frozen=True)
class _Included(Type):
    """The name of a file, or a mapping with the places that its rules are meant for."""

    def phrase(self) -> str:
        return "the name of a rule file, or a mapping of `file`, `under` and `to`"

    def read(self, node: Node, where: Where) -> Include | None:
        if isinstance(node, MapNode):
            return self._mapping(node, where)
        if isinstance(node, ScalarNode) and isinstance(node.value, str) and node.value:
            return Include(node.value, node.span)
        self.wrong(node, where)
        return None

    def _mapping(self, node: MapNode, where: Where) -> Include | None:
        before = len(where.findings)
        record = INCLUDE.read(node, where)
        if record is None or len(where.findings) > before:
            return None
        under, to = record.get("under"), record.get("to") or record.get("under")
        include = Include(record.get("file"), head(node), under and under.pattern, to and to.pattern)
        where.findings.extend(misplaced(include, [placed for placed in (under, record.get("to")) if placed]))
        return include

    def json(self) -> JsonSchema:
        return {"anyOf": [{"type": "string"}, INCLUDE.json()]}


FILE = Struct(
    "a rule file",
    (
        Field("migrate", INT, f"the version of the rule language: {VERSION}", required=True),
        Field("name", Str(), "the name of this migration"),
        Field("source", SOURCE, "what the source must be; checked before planning"),
        Field("target", TARGET, "what the rules lead to"),
        Field("include", OneOrMany(_Included()), "rule files whose rules come before these"),
        Field(
            "rules",
            ListOf(RuleType(), "a list of rules (`[]` for none)"),
            "what changes; other leaves stay",
            required=True,
        ),
        Field("follow", Word(("auto", "off")), "whether optimizer moments follow their params; `auto` by default"),
        Field("probe", _CALLABLE, "a function that compares outputs of the old model and the new, `module:function`"),
        Field("unmatched", UNMATCHED, "what becomes of leaves that no rule accounts for; errors by default"),
    ),
)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a rule file, of draft 7, which editors use for completion."""
    schema = FILE.json()
    schema["properties"]["migrate"] = {"const": VERSION, "description": FILE.by_name["migrate"].doc}
    pattern = "a key path with `{name}`, `{name:int}`, `{name:a|b}`, `*` and `**`"
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "migrate rule file",
        **schema,
        "definitions": {"pattern": {"type": ["string", "number"], "description": pattern}, "regex": REGEX.json()},
    }
