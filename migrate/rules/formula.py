"""The values that `config:` rules write: a constant, or a formula over other names such as `{width} // {heads}`."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from migrate.rules.expression import PatternError, compute, parse_arithmetic, solved
from migrate.tree import KeyPath, format_path, parse_path

MOST_BITS = 4096
"""The size of the largest integer that a formula computes; JSON readers refuse much larger ones."""

_NAME = re.compile(r"(?<!\\)\{((?:[^{}\\]|\\.)*)\}")
_FOREIGN = re.compile(r"[^\d\s+\-*/%()]")


@dataclass(frozen=True, slots=True)
class Constant:
    """A value of JSON; `text` is its JSON text, so that `1`, `1.0` and `true` are different constants."""

    text: str

    @classmethod
    def of(cls, value: Any) -> Constant:
        """Returns the constant of a value.

        Raises:
          ValueError: JSON has no such value, such as NaN.
        """
        return cls(json.dumps(value, allow_nan=False))

    @property
    def value(self) -> Any:
        """The value."""
        return json.loads(self.text)


@dataclass(frozen=True)
class Formula:
    """Integer arithmetic over names in braces, each of which is a key path; a single name copies a value of any type.

    `//` has to be exact: a head dimension of 65 // 8 does not exist.
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> Formula:
        """Parses a formula.

        Raises:
          PatternError: it contains anything besides names in braces, integers and `+ - * // % ( )`.
        """
        formula = cls(text)
        outside = _NAME.sub(lambda name: " " * len(name[0]), text)
        if (foreign := _FOREIGN.search(outside)) is not None:
            allowed = "only names in braces, integers and `+ - * // % ( )`"
            message = f"`{text}` may contain {allowed}; `\\` before `{{` makes it text"
            raise PatternError(message, foreign.start())
        if formula.copied is None:
            _ = formula._tree
        return formula

    @classmethod
    def of(cls, path: KeyPath) -> Formula:
        """Returns the formula that copies the value of a name."""
        return cls(f"{{{format_path(path)}}}")

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The texts between braces."""
        return tuple(_NAME.findall(self.text))

    @cached_property
    def names(self) -> tuple[KeyPath, ...]:
        """The names that it reads, in order of first appearance."""
        return tuple(dict.fromkeys(map(parse_path, self.texts)))

    @cached_property
    def copied(self) -> KeyPath | None:
        """The name of which it is a copy; None for arithmetic."""
        whole = _NAME.fullmatch(self.text.strip())
        return parse_path(whole[1]) if whole else None

    def compute(self, values: Mapping[KeyPath, Any]) -> Any:
        """Returns the value.

        Raises:
          PatternError: a value is not an integer, a divisor is zero, or a division leaves a remainder.
        """
        if self.copied is not None:
            return values[self.copied]
        numbers = {f"n{at}": _integer(name, values[name]) for at, name in enumerate(self.names)}
        shown = ", ".join(f"{format_path(name)} = {values[name]}" for name in self.names)
        try:
            result = compute(self._tree, numbers, exact=True)
        except ZeroDivisionError:
            raise PatternError(f"it divides by zero for {shown}") from None
        except PatternError as error:
            raise PatternError(f"{error} for {shown}; the value must be an integer") from None
        if result.bit_length() > MOST_BITS:
            raise PatternError(f"the result has more than {MOST_BITS:,} bits")
        return result

    def inverse(self, target: KeyPath) -> Formula | None:
        """Returns the formula that leads from `target`, which has its value, back to the only name that it reads; None
        where several names or several values of one may give the value.
        """
        copy = Formula.of(target)
        if self.copied is not None or len(self.names) != 1:
            return copy if self.copied is not None else None
        try:
            found = solved(self._tree, "n0")
            return None if found is None else Formula.parse(found.replace("n0", copy.text))
        except (PatternError, ZeroDivisionError):
            return None

    def filled(self, values: Mapping[KeyPath, str]) -> str:
        """Returns the text with these texts in place of the names; other names keep their braces."""
        return _NAME.sub(lambda name: values.get(parse_path(name[1]), name[0]), self.text)

    def substituted(self, terms: Mapping[KeyPath, Constant | Formula]) -> Constant | Formula:
        """Returns the formula with other terms in place of names; a constant if no name is left."""
        if self.copied is not None:
            return terms.get(self.copied, self)
        made = Formula(self.filled({name: _operand(term) for name, term in terms.items()}))
        try:
            return made if made.names else Constant.of(made.compute({}))
        except PatternError:
            return made

    @cached_property
    def _tree(self) -> ast.expr:
        source = self.filled({name: f"n{at}" for at, name in enumerate(self.names)})
        return parse_arithmetic(source, self.text)


Term = Constant | Formula
"""What a name is given."""


def read_term(text: str) -> Term:
    r"""Returns the term of a text: a formula if it has a brace, else a constant; `\{` is a brace of a constant.

    Raises:
      PatternError: the formula is invalid.
    """
    if re.search(r"(?<!\\)\{", text):
        return Formula.parse(text)
    return Constant.of(text.replace(r"\{", "{"))


def term_value(term: Term) -> Any:
    """Returns the `value:` of a rule file that is read as this term."""
    if isinstance(term, Formula):
        return term.text
    value = term.value
    return value.replace("{", r"\{") if isinstance(value, str) else value


def _operand(term: Term) -> str:
    if isinstance(term, Constant):
        return f"({term.text})" if term.text.startswith("-") else term.text
    return term.text if term.copied is not None else f"({term.text})"


def _integer(name: KeyPath, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise PatternError(f"`{format_path(name)}` is {json.dumps(value, default=str)}, not an integer")
