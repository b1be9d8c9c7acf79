"""What a rule file reads from a model's configuration: a name such as `head_dim`, or a formula over names in braces.

Several terms stand for what different versions of a library call the same thing; the first that has a value counts. A
name that the configuration lacks, or gives as null, has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from migrate.codes import InvalidPattern
from migrate.rules.expression import PatternError
from migrate.rules.field_types import FieldType, JsonSchema, ReadContext
from migrate.rules.formula import Formula
from migrate.rules.source import ListNode, Node, ScalarNode
from migrate.tree import KeyPath, format_path, parse_path

LONGEST = 60
"""The most characters of a value that a message shows."""


@dataclass(frozen=True, slots=True)
class ConfigTerms:
    """Names and formulas, of which the first that has a value counts."""

    terms: tuple[Formula, ...]

    @classmethod
    def parse(cls, texts: list[str]) -> ConfigTerms:
        """Parses terms; a text without braces is a name.

        Raises:
          PatternError: a formula is invalid.
        """
        return cls(tuple(Formula.parse(text) if "{" in text else Formula.of(parse_path(text)) for text in texts))

    def __str__(self) -> str:
        return " or ".join(f"`{term_text(term)}`" for term in self.terms)

    def below(self, place: KeyPath) -> ConfigTerms:
        """Returns the terms for a configuration in which the names are below a place."""
        return ConfigTerms(tuple(placed_term(term, place) for term in self.terms)) if place else self

    def find(self, content: Mapping[str, Any]) -> tuple[Formula, Any] | None:
        """Returns the first term that has a value, with its value; None if none has.

        Raises:
          PatternError: the value of a formula cannot be computed.
        """
        for term in self.terms:
            value = term_in(term, content)
            if value is not None:
                return term, value
        return None


def placed_term(term: Formula, place: KeyPath) -> Formula:
    """Returns a formula with its names below a place."""
    return Formula(term.filled({name: f"{{{format_path((*place, *name))}}}" for name in term.names}))


def term_in(term: Formula, content: Mapping[str, Any]) -> Any:
    """Returns the value of a formula; None if a name has none.

    Raises:
      PatternError: it cannot be computed.
    """
    values = {name: _value_at(content, name) for name in term.names}
    return None if None in values.values() else term.compute(values)


def term_text(term: Formula) -> str:
    """Returns a formula for a message: a single name without braces."""
    return format_path(term.copied) if term.copied is not None else term.text


def shown(value: Any) -> str:
    """Returns a value of a configuration for a message: JSON of at most `LONGEST` characters."""
    try:
        text = json.dumps(value, default=str)
    except RecursionError:
        return "a nested value"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _value_at(content: Mapping[str, Any], name: KeyPath) -> Any:
    node: Any = content
    for part in name:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


@final
@dataclass(frozen=True)
class ConfigTermsType(FieldType):
    """A name or a formula, or a list of these."""

    def phrase(self) -> str:
        return "a name in the model's `config.json`, a formula over names in braces, or a list of these"

    def read(self, node: Node, context: ReadContext) -> ConfigTerms | None:
        texts = _texts(node)
        if not texts:
            self.reject(node, context)
            return None
        try:
            return ConfigTerms.parse(texts)
        except PatternError as error:
            context.refuse(InvalidPattern, f"invalid formula: {error}", node.span)
            return None

    def json(self) -> JsonSchema:
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}


def _texts(node: Node) -> list[str]:
    """Returns the texts of a node; none if it has anything else."""
    items = node.items if isinstance(node, ListNode) else (node,)
    texts = [item.value for item in items if isinstance(item, ScalarNode) and isinstance(item.value, str)]
    return texts if len(texts) == len(items) and all(texts) else []
