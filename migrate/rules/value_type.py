"""The type of values of a configuration: JSON, or a formula over names in braces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from migrate.codes import InvalidPattern
from migrate.rules.expression import PatternError
from migrate.rules.field_types import FieldType, JsonSchema, ReadContext
from migrate.rules.formula import Constant, Formula, Term, read_term
from migrate.rules.pattern import Pattern
from migrate.rules.source import Node, plain


@final
@dataclass(frozen=True)
class ValueType(FieldType):
    """Any value of JSON; text with names in braces is a formula."""

    def phrase(self) -> str:
        return "a value of JSON, or a formula such as `{width} // {heads}`"

    def read(self, node: Node, context: ReadContext) -> Term | None:
        try:
            value = plain(node)
            term = read_term(value) if isinstance(value, str) else Constant.of(value)
            wildcards = [one for one in _names(term) if not Pattern.parse(one).is_literal]
        except PatternError as error:
            context.refuse(InvalidPattern, f"invalid formula: {error}", node.span)
            return None
        except ValueError:
            self.reject(node, context)
            return None
        for name in wildcards:
            message = f"invalid formula: `{{{name}}}` is no name: a formula has no wildcards"
            context.refuse(InvalidPattern, message, node.span)
        return term

    def json(self) -> JsonSchema:
        return {}


def _names(term: Term) -> Sequence[str]:
    return term.texts if isinstance(term, Formula) else ()
