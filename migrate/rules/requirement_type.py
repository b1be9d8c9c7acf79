"""The type of an entry of `requires:`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from migrate.codes import MissingField
from migrate.rules.config_terms import ConfigTermsType
from migrate.rules.field_types import (
    ChoiceType,
    Field,
    FieldType,
    JsonSchema,
    MappingType,
    OneOrManyType,
    ReadContext,
    StringType,
    head_span,
)
from migrate.rules.formula import Constant
from migrate.rules.requirement import NULL, Requirement
from migrate.rules.source import Node
from migrate.rules.value_type import ValueType

REQUIREMENT = MappingType(
    "a requirement",
    (
        Field(
            "config",
            ConfigTermsType(),
            "what is read from the model's `config.json`: a name, a formula, or a list, whose first member that has a "
            "value counts",
        ),
        Field("arg", StringType(), "the argument of the rule file that is read instead"),
        Field(
            "is",
            OneOrManyType(ValueType()),
            "the value that it has to have, or a list of such values: JSON, or a formula such as `{head_dim}`",
            required=True,
        ),
        Field("default", ValueType(), "what the absence of the name means (default: null)"),
        Field("because", StringType(), "the reason, which the message gives", required=True),
        Field(
            "otherwise",
            ChoiceType(("refuse", "warn")),
            "whether another value is refused or only named in a warning (default: refuse)",
        ),
    ),
)


@final
@dataclass(frozen=True)
class RequirementType(FieldType):
    """A mapping of `config` or `arg`, and of what it has to be."""

    def phrase(self) -> str:
        return REQUIREMENT.phrase()

    def read(self, node: Node, context: ReadContext) -> Requirement | None:
        before = len(context.findings)
        fields = REQUIREMENT.read(node, context)
        if fields is None or len(context.findings) > before:
            return None
        if (fields.get("config") is None) == (fields.get("arg") is None):
            context.refuse(MissingField, "a requirement has either `config` or `arg`", head_span(node))
            return None
        default = fields.get("default", NULL)
        return Requirement(
            span=head_span(node),
            wanted=fields.get("is"),
            because=fields.get("because"),
            terms=fields.get("config"),
            argument=fields.get("arg", ""),
            default=default if isinstance(default, Constant) else NULL,
            warns=fields.get("otherwise") == "warn",
        )

    def json(self) -> JsonSchema:
        return REQUIREMENT.json()
