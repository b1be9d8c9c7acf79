"""The fields of a rule file, declared once for the loader and for `migrate schema`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from migrate.codes import InvalidPattern, MissingField
from migrate.errors import nearest
from migrate.rules.argument_values import DeclaredArgumentsType
from migrate.rules.bound_patterns import MoveSources
from migrate.rules.build import (
    build_create,
    build_drop,
    build_move,
    drop_problems,
    move_problems,
)
from migrate.rules.config_type import ConfigRuleType
from migrate.rules.field_types import (
    FLAG,
    INT,
    AnyMappingType,
    ChoiceType,
    Field,
    FieldType,
    FieldValues,
    JsonSchema,
    ListType,
    MappingType,
    OneOrManyType,
    ReadContext,
    ScalarType,
    StringType,
    head_span,
)
from migrate.rules.include_type import IncludeType
from migrate.rules.layout_type import LayoutType
from migrate.rules.model import Rule
from migrate.rules.op_types import OpList
from migrate.rules.pattern_types import REGEX, SourcePattern, TargetPattern, read_line
from migrate.rules.probe_type import ProbeType
from migrate.rules.requirement_type import RequirementType
from migrate.rules.source import MapNode, Node, ScalarNode
from migrate.rules.sources_type import SourcesType
from migrate.rules.template_type import TEMPLATE

VERSION = 1
"""The version of the rule language."""

_SOURCES = OneOrManyType(SourcePattern())
_EXCEPT = Field("except", _SOURCES, "patterns of leaves that the rule does not apply to")
_OPTIONAL = Field("optional", FLAG, "whether the rule may match nothing (default: false)")
HASH = StringType(r"sha256:[0-9a-f]{64}", "`sha256:` and 64 hexadecimal digits")
_VERSION = ScalarType((int, str), "an integer or text")

MOVE = MappingType(
    "a rule",
    (
        Field(
            "from",
            MoveSources(),
            "the source leaves: a pattern, a list of patterns, a regular expression, or a mapping that binds a name to "
            "each pattern, for ops that take unlike arrays",
            required=True,
        ),
        Field(
            "to", OneOrManyType(TargetPattern()), "the target leaves: a pattern, or a list of patterns", required=True
        ),
        Field("ops", OpList(), "ops applied to the arrays, in order"),
        _EXCEPT,
        _OPTIONAL,
        Field("copy", FLAG, "whether other rules may take the leaves too, or keep their key paths (default: false)"),
        Field("reverse", FLAG, "whether `--reverse` uses the rule (default: true)"),
        Field(
            "moments",
            ChoiceType(("follow", "reset")),
            "whether optimizer moments follow these params or are initialized again (default: follow)",
        ),
    ),
)

_EQUAL = MappingType(
    "`assert`",
    (Field("equal", TargetPattern(), "the source leaf that has to have the same values", required=True),),
)
_ZERO = ChoiceType(("zero",))


@final
@dataclass(frozen=True)
class _Assertion(FieldType):
    """A keyword, or a mapping with one key."""

    def phrase(self) -> str:
        return "`zero` or `{equal: …}`"

    def read(self, node: Node, context: ReadContext) -> str | FieldValues | None:
        if isinstance(node, MapNode):
            return _EQUAL.read(node, context)
        if isinstance(node, ScalarNode) and node.value in _ZERO.words:
            return node.text
        self.reject(node, context, _ZERO.near(node))
        return None

    def json(self) -> JsonSchema:
        return {"anyOf": [_ZERO.json(), _EQUAL.json()]}


DROP = MappingType(
    "a `drop` rule",
    (
        Field("from", _SOURCES, "the source leaves to drop", required=True),
        Field(
            "assert",
            _Assertion(),
            "refuses to drop a leaf with a value that is not zero, or that differs from the one of another leaf",
        ),
        Field("ops", OpList(), "ops applied to the leaf before it is compared"),
        _EXCEPT,
        _OPTIONAL,
    ),
)

_SEED = MappingType("`rng`", (Field("seed", INT, "the seed of the random keys", required=True),))
_CONSTANT = ScalarType((int, float, bool), "a number, `true` or `false`")


_WORDS = ChoiceType(("zeros", "ones", "template"))
_VALUES = MappingType(
    "`init`",
    (
        Field("constant", _CONSTANT, "the value of every element"),
        Field("rng", _SEED, "random keys from a seed, and counts of zero"),
    ),
)


@final
@dataclass(frozen=True)
class _Init(FieldType):
    """A keyword, or a mapping with one key."""

    def phrase(self) -> str:
        return "`zeros`, `ones`, `template`, `{constant: x}` or `{rng: {seed: s}}`"

    def read(self, node: Node, context: ReadContext) -> str | FieldValues | None:
        if isinstance(node, MapNode) and len(node.entries) == 1:
            return _VALUES.read(node, context)
        if isinstance(node, ScalarNode) and node.value in _WORDS.words:
            return node.text
        self.reject(node, context, _WORDS.near(node))
        return None

    def json(self) -> JsonSchema:
        return {"anyOf": [_WORDS.json(), {**_VALUES.json(), "minProperties": 1, "maxProperties": 1}]}


INIT = _Init()

CREATE = MappingType(
    "a `create` rule",
    (
        Field("to", _SOURCES, "the target leaves: a pattern, or a list of patterns", required=True),
        Field("init", INIT, "their initial value", required=True),
        _EXCEPT,
        _OPTIONAL,
    ),
)


@final
@dataclass(frozen=True)
class _Dropped(FieldType):
    """The value of `drop:`: patterns, or a mapping with further fields."""

    def phrase(self) -> str:
        return "a pattern, a list of patterns, or a mapping of `from`, `assert`, `ops`, `except`, `optional`"

    def read(self, node: Node, context: ReadContext) -> FieldValues | None:
        if isinstance(node, MapNode) and node.get("regex") is None:
            return DROP.read(node, context)
        return FieldValues(MapNode((), node.span, 1), {"from": _SOURCES.read(node, context)})

    def json(self) -> JsonSchema:
        return {"anyOf": [_SOURCES.json(), DROP.json()]}


_DROP_RULE = MappingType("a `drop` rule", (Field("drop", _Dropped(), "the source leaves to drop", required=True),))
_CREATE_RULE = MappingType(
    "a `create` rule", (Field("create", CREATE, "the target leaves to create without a source", required=True),)
)


_FORMS = "a line `from -> to`, or a mapping with `from` and `to`, with `drop` or with `create`"


@final
@dataclass(frozen=True)
class RuleType(FieldType):
    """A line `from -> to`, or a mapping of one of three forms."""

    def phrase(self) -> str:
        return _FORMS

    def read(self, node: Node, context: ReadContext) -> Rule | None:
        before = len(context.findings)
        rule = self._read(node, context)
        return rule if len(context.findings) == before else None

    def _read(self, node: Node, context: ReadContext) -> Rule | None:
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            source, target = read_line(node, context)
            return _move({"from": (source,), "to": (target,)}, None, context)
        if not isinstance(node, MapNode):
            self.reject(node, context)
            return None
        return _read_mapping(node, context)

    def json(self) -> JsonSchema:
        line = {"type": "string", "pattern": r"^.*\s->\s.*$", "description": "a rename: `from -> to`"}
        return {"anyOf": [line, MOVE.json(), _DROP_RULE.json(), _CREATE_RULE.json()]}


def _read_mapping(node: MapNode, context: ReadContext) -> Rule | None:
    form = _form(node)
    if form is None:
        context.refuse(
            MissingField,
            "this is not a rule: it has neither `from` and `to`, nor `drop`, nor `create`",
            head_span(node),
            help=f"a rule is {_FORMS}",
        )
        return None
    before = len(context.findings)
    record = form.read(node, context)
    if record is None or len(context.findings) > before:
        return None
    if form is _DROP_RULE:
        drop = build_drop(record.get("drop"))
        context.findings.extend(drop_problems(drop, record.get("drop")))
        return drop
    if form is _CREATE_RULE:
        return build_create(record.get("create"))
    return _move(record.values, record, context)


def _form(node: MapNode) -> MappingType | None:
    """Returns the form of a rule that a mapping has, even if its key is misspelled; None if unclear."""
    forms = {"drop": _DROP_RULE, "create": _CREATE_RULE, "from": MOVE, "to": MOVE}
    keys = [key.text for key, _ in node.entries]
    for word, form in forms.items():
        if word in keys:
            return form
    return next((forms[near] for key in keys if (near := nearest(key, forms, cutoff=0.7))), None)


def _move(values: Any, record: FieldValues | None, context: ReadContext) -> Rule | None:
    sources, targets = values["from"], values["to"]
    if None in sources or None in targets:
        return None
    for placed in targets:
        if placed.pattern.source in context.sources:
            message = f"`{placed.pattern}` is in the source `{placed.pattern.source}`, to which nothing is written"
            context.refuse(InvalidPattern, message, placed.span, help="name the leaf of the new checkpoint")
    move = build_move(sources, targets, record)
    context.findings.extend(move_problems(move, targets))
    return move


SOURCE = MappingType(
    "`source`",
    (
        Field("model", StringType(), "the model's name; compared with the checkpoint's metadata"),
        Field("version", _VERSION, "the model's version; compared with the checkpoint's metadata"),
        Field("structure", HASH, "the structure hash of the source, as printed by `migrate inspect`"),
        Field(
            "unbox",
            ChoiceType(("auto", "never")),
            "whether key paths omit the `value` level that Flax adds on disk (default: auto)",
        ),
        Field(
            "separator",
            StringType(),
            "where flat names are split into key paths, as `.`; an empty text for nowhere (default: the separator "
            "under which they form a tree, as `migrate inspect` prints it)",
        ),
    ),
)

TARGET = MappingType(
    "`target`",
    (
        Field("model", StringType(), "the model's name; recorded in the new checkpoint's metadata"),
        Field("version", _VERSION, "the model's version; recorded in the new checkpoint's metadata"),
        Field(
            "template",
            TEMPLATE,
            "a callable that returns the model, as `module:callable`, or the file of its recorded tree, relative to "
            "the rule file",
        ),
        Field("args", AnyMappingType(), "keyword arguments for the template's callable"),
        Field("structure", HASH, "the required structure hash of the template"),
        Field(
            "layout",
            LayoutType(),
            "the layout of the new checkpoint: `nnx.state`, a pure dict, or one item per part (default: state); `zarr` "
            "stores arrays as plain zarr, without an OCDBT database, also beside one of them: `[items, zarr]`; "
            "`huggingface` writes a folder of safetensors files as `transformers` reads it",
        ),
    ),
)

UNMATCHED = MappingType(
    "`unmatched`",
    (
        Field(
            "source",
            ChoiceType(("error", "drop")),
            "what to do with a source leaf that no rule uses and the target lacks (default: error)",
        ),
        Field(
            "target",
            ChoiceType(("error", "template")),
            "what to do with a target leaf that no rule fills (default: error)",
        ),
    ),
)

FILE = MappingType(
    "a rule file",
    (
        Field("migrate", INT, f"the version of the rule language: {VERSION}", required=True),
        Field("name", StringType(), "the name of this migration"),
        Field("source", SOURCE, "requirements for the source; checked before planning"),
        Field(
            "sources",
            SourcesType(SOURCE),
            "sources beside the main one, by name: a path relative to the rule file, null if `--source NAME=PATH` "
            "gives it, or a mapping with `path` and requirements; their key paths begin with the name: `lora:/model/w`",
        ),
        Field("target", TARGET, "the target of the rules"),
        Field(
            "args",
            DeclaredArgumentsType(),
            "names that `${name}` stands for, with their values unless the call or an include gives others; "
            "`{config: …, default: …}` takes the value from the model's `config.json`",
        ),
        Field(
            "requires",
            ListType(RequirementType(), "a list of requirements"),
            "values that the model's `config.json` or an argument has to have; checked when a plan is made",
        ),
        Field("include", OneOrManyType(IncludeType()), "rule files whose rules precede these rules"),
        Field(
            "rules",
            ListType(RuleType(), "a list of rules (`[]` for none)"),
            "the rules; leaves that no rule names keep their key paths",
            required=True,
        ),
        Field(
            "config",
            ListType(ConfigRuleType(), "a list of rules"),
            "rules for the hyperparameters of the record and for JSON items; names without a rule stay",
        ),
        Field("follow", ChoiceType(("auto", "off")), "whether optimizer moments follow their params (default: auto)"),
        Field("probe", ProbeType(), "a function that compares outputs of the old and the new model"),
        Field("unmatched", UNMATCHED, "what to do with leaves that no rule covers (default: errors)"),
    ),
)


def json_schema() -> dict[str, Any]:
    """Returns the JSON Schema (draft 7) of a rule file, which editors use for completion."""
    schema = FILE.json()
    schema["properties"]["migrate"] = {"const": VERSION, "description": FILE.by_name["migrate"].doc}
    pattern = (
        "a key path that may contain `{name}`, `{name:int}`, `{name:int where name%2==0}`, `{name:a|b}`, `{2*name}`, "
        "`*` and `**`"
    )
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "migrate rule file",
        **schema,
        "definitions": {"pattern": {"type": ["string", "number"], "description": pattern}, "regex": REGEX.json()},
    }
