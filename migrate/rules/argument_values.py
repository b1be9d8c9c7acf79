"""The arguments that a rule file declares, and the values that they get: from the call, the model, or the file.

Args:
root: params
head: {config: [head_dim, "{hidden_size} // {num_attention_heads}"], default: 128}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, final

from migrate.codes import InvalidModelArgument
from migrate.errors import Diagnostic, Span
from migrate.formats.base import ModelConfig
from migrate.rules.config_terms import ConfigTerms, ConfigTermsType, shown, term_text
from migrate.rules.expression import PatternError
from migrate.rules.field_types import (
    ARGUMENT,
    Field,
    FieldType,
    JsonSchema,
    MappingType,
    ReadContext,
    head_span,
)
from migrate.rules.source import MapNode, Node, ScalarNode, Value, plain
from migrate.tree import KeyPath

Origin = Literal["given", "config", "default"]


@dataclass(frozen=True, slots=True)
class DeclaredArgument:
    """An argument of a file, with its default and the terms of the model's configuration that precede the default."""

    name: str
    default: Value
    span: Span
    terms: ConfigTerms | None = None


@dataclass(frozen=True, slots=True)
class ArgumentValue:
    """The value of an argument that a model's configuration can state.

    Attributes:
      origin: whether the call, the configuration or the file gives the value.
      term: what states the value in the configuration, or would state it.
      span: the location of the declaration.
      source: the source whose configuration it is; empty for the main source.
    """

    name: str
    value: Value
    origin: Origin
    term: str
    span: Span
    source: str = ""


def declared_arguments(root: MapNode) -> dict[str, DeclaredArgument]:
    """Returns the arguments that a file declares; mistakes are reported where its fields are read."""
    declared = root.get("args")
    entries = declared.entries if isinstance(declared, MapNode) else ()
    found = {}
    for key, node in entries:
        if isinstance(node, ScalarNode):
            found[key.text] = DeclaredArgument(key.text, node.value, head_span(node))
        elif isinstance(node, MapNode) and isinstance(default := node.get("default"), ScalarNode):
            terms = ConfigTermsType().read(node.get("config") or default, ReadContext("config", []))
            found[key.text] = DeclaredArgument(key.text, default.value, head_span(node), terms)
    return found


def argument_values(
    declared: Mapping[str, DeclaredArgument],
    given: Mapping[str, Value],
    configs: Mapping[str, ModelConfig],
    source: str,
    place: KeyPath,
    findings: list[Diagnostic],
) -> Iterator[ArgumentValue]:
    """Yields the values of the arguments that a configuration can state.

    Args:
      declared: the arguments of the file.
      given: the values of the call or of the include.
      configs: the known configurations of the sources.
      source: the source that the rules of the file are applied to.
      place: where the names of the file are in its configuration.
      findings: receives values that an argument cannot have.
    """
    config = configs.get(source)
    for one in declared.values():
        if one.terms is None:
            continue
        terms = one.terms.below(place)
        text = term_text(terms.terms[0])
        if one.name in given:
            yield ArgumentValue(one.name, given[one.name], "given", text, one.span, source)
            continue
        found = _found(one, terms, config, findings) if config is not None else None
        value, origin, text = found if found is not None else (one.default, "default", text)
        yield ArgumentValue(one.name, value, origin, text, one.span, source)


def _found(
    declared: DeclaredArgument, terms: ConfigTerms, config: ModelConfig, findings: list[Diagnostic]
) -> tuple[Value, Origin, str] | None:
    """Returns the value that the configuration states, with its term; None if it states none."""
    try:
        found = terms.find(config.content)
    except PatternError as error:
        findings.append(_invalid(declared, config, f"cannot be computed: {error}"))
        return None
    if found is None:
        return None
    term, value = found
    if isinstance(value, float) and value.is_integer() and isinstance(declared.default, int):
        value = int(value)
    if type(value) is not type(declared.default):
        findings.append(_invalid(declared, config, f"is `{term_text(term)}`, {shown(value)}"))
        return None
    return value, "config", term_text(term)


def _invalid(declared: DeclaredArgument, config: ModelConfig, why: str) -> Diagnostic:
    kind = "an integer" if isinstance(declared.default, int) else "text"
    message = f"the argument `{declared.name}`, which is {kind}, {why} in `{config.file}`"
    advice = f"give it a value: `--arg {declared.name}={declared.default}`"
    return InvalidModelArgument.at(message, span=declared.span, help=advice)


_FROM_CONFIG = MappingType(
    "an argument",
    (
        Field(
            "config",
            ConfigTermsType(),
            "what states its value in the model's `config.json`: a name, a formula such as `{width} // {heads}`, or a "
            "list, whose first member that has a value counts",
            required=True,
        ),
        Field("default", ARGUMENT, "its value without that", required=True),
    ),
)


@final
@dataclass(frozen=True)
class DeclaredArgumentsType(FieldType):
    """A mapping of names to their defaults, or to where the model's configuration states them."""

    def phrase(self) -> str:
        return "a mapping of names to text, integers, or mappings of `config` and `default`"

    def read(self, node: Node, context: ReadContext) -> dict[str, Value] | None:
        if not isinstance(node, MapNode):
            self.reject(node, context)
            return None
        for key, one in node.entries:
            kind = _FROM_CONFIG if isinstance(one, MapNode) else ARGUMENT
            kind.read(one, context.inside(key.text))
        return {key.text: plain(one) for key, one in node.entries}

    def json(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": {"anyOf": [ARGUMENT.json(), _FROM_CONFIG.json()]}}
