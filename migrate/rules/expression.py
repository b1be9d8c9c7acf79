"""Integer arithmetic: inside a pattern's braces, `{i+1}`, `{k//2}`, `{i*4+j}`, and in the formulas of `config:` rules.

Expressions renumber layers that are fused, grouped or shifted. That needs only integers, so the language is limited to
`+ - * // %` over captured names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import add, floordiv, mod, mul, sub

from migrate.arithmetic import ArithmeticSyntax, syntax_tree

_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.FloorDiv: floordiv,
    ast.Mod: mod,
}
_ARITHMETIC = ArithmeticSyntax(_OPERATORS, (int,), has_names=True)
_DIGITS = re.compile(r"[0-9]{1,18}")
MAX_LENGTH = 100
"""The most characters of an expression: enough for index arithmetic; deep nesting would exhaust Python's parser."""


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

    @cached_property
    def line(self) -> tuple[int, int] | None:
        """Slope and offset of a linear expression of one name, `(2, 1)` for `2*i+1`; None for all others."""
        found = _line(self._tree) if len(self.names) == 1 else None
        return found if found and found[0] else None

    def solve(self, text: str) -> str | None:
        """Returns the value of the only name with which a linear expression is `text`; None where there is none."""
        if self.line is None or not _DIGITS.fullmatch(text):
            return None
        slope, offset = self.line
        value, rest = divmod(int(text) - offset, slope)
        return str(value) if rest == 0 and value >= 0 and str(int(text)) == text else None

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


def _line(node: ast.expr) -> tuple[int, int] | None:
    """Returns slope and offset of an expression of one name; None where it is not linear."""
    match node:
        case ast.Name():
            return 1, 0
        case ast.Constant(value=int() as value):
            return 0, value
        case ast.UnaryOp(operand=operand):
            return None if (one := _line(operand)) is None else (-one[0], -one[1])
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _line(left), _line(right)
            if a is not None and b is not None:
                return _combined(op, a, b)
    return None


def _combined(op: ast.operator, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int] | None:
    if isinstance(op, ast.Add | ast.Sub):
        return _OPERATORS[type(op)](a[0], b[0]), _OPERATORS[type(op)](a[1], b[1])
    if isinstance(op, ast.Mult) and 0 in (a[0], b[0]):
        return a[0] * b[1] + b[0] * a[1], a[1] * b[1]
    if a[0] == b[0] == 0 and b[1]:
        return 0, _OPERATORS[type(op)](a[1], b[1])
    return None


def parse_arithmetic(source: str, shown: str) -> ast.expr:
    """Returns the syntax tree of an integer expression, for `compute`.

    Args:
      source: its text.
      shown: the text that messages quote.

    Raises:
      PatternError: it contains anything besides integers, names and `+ - * // %`.
    """
    if len(source) > MAX_LENGTH:
        raise PatternError(f"an expression of {len(source)} characters is too long; the limit is {MAX_LENGTH}")
    tree = syntax_tree(source)
    if tree is None:
        raise PatternError(f"`{shown}` is neither a name nor an integer expression")
    check_arithmetic(tree, shown)
    return tree


def check_arithmetic(node: ast.expr, shown: str) -> None:
    """Checks that a syntax tree is integer arithmetic.

    Args:
      node: the tree.
      shown: the text that messages quote.

    Raises:
      PatternError: it contains anything besides integers, names and `+ - * // %`.
    """
    if _ARITHMETIC.foreign(node) is not None:
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
    value: int = (_EXACT if exact else _ARITHMETIC).compute(node, numbers)
    return value


def _exact_quotient(a: int, b: int) -> int:
    if a % b:
        raise PatternError(f"{a} // {b} leaves the remainder {a % b}")
    return a // b


_EXACT = replace(_ARITHMETIC, operators=_OPERATORS | {ast.FloorDiv: _exact_quotient})


def solved(node: ast.expr, name: str) -> str | None:
    """Returns the name of an expression with exact divisions, computed from its value: `i // 2 - 1` for `2 * (i + 1)`.

    Args:
      node: the syntax tree of the expression.
      name: stands for the value in the result.

    Returns:
      None where the value does not determine the name.
    """
    result: ast.expr = ast.Name(name)
    while not isinstance(node, ast.Name):
        match node:
            case ast.UnaryOp(operand=operand):
                node, result = operand, ast.UnaryOp(ast.USub(), result)
            case ast.BinOp(left=left, op=op, right=right) if len(known := _constants(left, right)) == 1:
                (number,) = known
                other = left if right is number else right
                undone = _undone(op, number, result, is_left=left is number)
                if undone is None:
                    return None
                node, result = other, undone
            case _:
                return None
    return ast.unparse(result)


def _constants(*nodes: ast.expr) -> list[ast.expr]:
    """Returns the expressions without a name."""
    return [node for node in nodes if not any(isinstance(one, ast.Name) for one in ast.walk(node))]


def _undone(op: ast.operator, number: ast.expr, result: ast.expr, *, is_left: bool) -> ast.expr | None:
    """Returns the operand beside a number, computed from the result of the operation; None where several fit."""
    match op:
        case ast.Add():
            return ast.BinOp(result, ast.Sub(), number)
        case ast.Sub():
            return ast.BinOp(number, ast.Sub(), result) if is_left else ast.BinOp(result, ast.Add(), number)
        case ast.Mult() if compute(number, {}):
            return ast.BinOp(result, ast.FloorDiv(), number)
        case ast.FloorDiv() if not is_left:
            return ast.BinOp(result, ast.Mult(), number)
    return None


def _shown(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {number}" for name, number in numbers.items())
