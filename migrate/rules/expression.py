"""Integer arithmetic inside a pattern's braces: `{i+1}`, `{k//2}`, `{i*4+j}`.

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
            result = _value(self._tree, numbers)
        except ZeroDivisionError:
            raise PatternError(f"`{{{self.source}}}` divides by zero for {_shown(numbers)}") from None
        if result < 0:
            raise PatternError(f"`{{{self.source}}}` is {result} for {_shown(numbers)}; an index cannot be negative")
        return result

    @cached_property
    def _tree(self) -> ast.expr:
        if len(self.source) > _MAX_LENGTH:
            raise PatternError(
                f"an expression of {len(self.source)} characters is too long; the limit is {_MAX_LENGTH}"
            )
        try:
            tree = ast.parse(self.source.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise PatternError(f"`{{{self.source}}}` is neither a name nor an integer expression") from None
        _check(tree, self.source)
        return tree

    def _number(self, name: str, text: object) -> int:
        if not isinstance(text, str) or not _DIGITS.fullmatch(text):
            shown = "/".join(text) if isinstance(text, tuple) else text
            raise PatternError(f"`{{{self.source}}}` needs an integer, but `{name}` is `{shown}`")
        return int(text)


def _check(node: ast.expr, source: str) -> None:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(left, source)
            _check(right, source)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand, source)
        case ast.Name():
            pass
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            pass
        case _:
            raise PatternError(f"`{{{source}}}` may contain only names, integers and `+ - * // %`")


def _value(node: ast.expr, numbers: Mapping[str, int]) -> int:
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_value(left, numbers), _value(right, numbers))
        case ast.UnaryOp(operand=operand):
            return -_value(operand, numbers)
        case ast.Name(id=name):
            return numbers[name]
        case ast.Constant(value=int() as value):
            return value
    raise AssertionError(node)  # `_check` rejects all other nodes


def _shown(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {number}" for name, number in numbers.items())
