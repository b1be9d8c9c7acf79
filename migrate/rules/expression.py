"""Integer arithmetic: inside a pattern's braces, `{i+1}`, `{k//2}`, `{i*4+j}`, and in the formulas of `config:` rules.

Expressions renumber layers that are fused, grouped or shifted. That needs only integers, so the language is limited to
`+ - * // %` over captured names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import add, floordiv, mod, mul, sub

_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.FloorDiv: floordiv,
    ast.Mod: mod,
}
_DIGITS = re.compile(r"[0-9]{1,18}")
_MAX_LENGTH = 100  # enough for index arithmetic; deep nesting would exhaust Python's parser


class PatternError(ValueError):
    """A pattern that is invalid, or that the captured values cannot fill.

    Attributes:
      offset: the position in the pattern's text, in characters from 0.
      length: the number of characters concerned; at least 1.
    """

    def __init__(self, message: str, offset: int = 0, length: int = 1) -> None:
        super().__init__(message)
        self.offset = offset
        self.length = max(length, 1)


@dataclass(frozen=True)
class Expression:
    """An integer expression over captured names; created by `Expression.parse`."""

    source: str

    @classmethod
    def parse(cls, source: str) -> Expression:
        """Parses an expression.

        Raises:
          PatternError: it contains anything besides integers, names and `+ - * // %`, or it contains no name.
        """
        expression = cls(source)
        if not expression.names:
            raise PatternError(f"`{{{source}}}` contains no capture")
        return expression

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names that it uses, in order of first appearance."""
        return tuple(dict.fromkeys(node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)))

    @cached_property
    def groups(self) -> bool:
        """Whether different values can have one result, because it divides or takes a remainder."""
        return any(isinstance(node, ast.FloorDiv | ast.Mod) for node in ast.walk(self._tree))

    def evaluate(self, values: Mapping[str, object]) -> int:
        """Returns the value, which is at least 0: key paths have no negative indices.

        Raises:
          PatternError: a captured text is not an integer, a divisor is zero, or the result is negative.
          KeyError: a name has no value.
        """
        numbers = {name: self._number(name, values[name]) for name in self.names}
        try:
            result = compute(self._tree, numbers)
        except ZeroDivisionError:
            raise PatternError(f"`{{{self.source}}}` divides by zero for {_shown(numbers)}") from None
        if result < 0:
            raise PatternError(f"`{{{self.source}}}` is {result} for {_shown(numbers)}; an index cannot be negative")
        return result

    @cached_property
    def _tree(self) -> ast.expr:
        return parse_arithmetic(self.source, f"{{{self.source}}}")

    def _number(self, name: str, text: object) -> int:
        if not isinstance(text, str) or not _DIGITS.fullmatch(text):
            shown = "/".join(text) if isinstance(text, tuple) else text
            raise PatternError(f"`{{{self.source}}}` needs an integer, but `{name}` is `{shown}`")
        return int(text)


def parse_arithmetic(source: str, shown: str) -> ast.expr:
    """Returns the syntax tree of an integer expression, for `compute`.

    Args:
      source: its text.
      shown: the text that messages quote.

    Raises:
      PatternError: it contains anything besides integers, names and `+ - * // %`.
    """
    if len(source) > _MAX_LENGTH:
        raise PatternError(f"an expression of {len(source)} characters is too long; the limit is {_MAX_LENGTH}")
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise PatternError(f"`{shown}` is neither a name nor an integer expression") from None
    _check(tree, shown)
    return tree


def _check(node: ast.expr, shown: str) -> None:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(left, shown)
            _check(right, shown)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand, shown)
        case ast.Name():
            pass
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            pass
        case _:
            raise PatternError(f"`{shown}` may contain only names, integers and `+ - * // %`")


def compute(node: ast.expr, numbers: Mapping[str, int], *, exact: bool = False) -> int:
    """Returns the value of an expression.

    Args:
      node: its syntax tree, from `parse_arithmetic`.
      numbers: the value of each name.
      exact: whether a division that leaves a remainder is refused.

    Raises:
      PatternError: a division leaves a remainder.
      ZeroDivisionError: a divisor is zero.
    """
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            a, b = compute(left, numbers, exact=exact), compute(right, numbers, exact=exact)
            if exact and isinstance(op, ast.FloorDiv) and a % b:
                raise PatternError(f"{a} // {b} leaves the remainder {a % b}")
            return _OPERATORS[type(op)](a, b)
        case ast.UnaryOp(operand=operand):
            return -compute(operand, numbers, exact=exact)
        case ast.Name(id=name):
            return numbers[name]
        case ast.Constant(value=int() as value):
            return value
    raise AssertionError(node)  # `_check` rejects all other nodes


def _shown(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {number}" for name, number in numbers.items())
