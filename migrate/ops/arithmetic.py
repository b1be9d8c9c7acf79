"""Numbers of ops that are written as arithmetic, such as `1/sqrt(16)`; nothing of it is run as Python."""

from __future__ import annotations

import ast
import math
import sys
from collections.abc import Callable
from functools import lru_cache
from operator import add, mul, sub, truediv

from migrate.ops.base import OpError

Number = int | float | str
"""A number of a rule file, or the arithmetic that gives it."""

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.Div: truediv,
}
_MOST_LENGTH = 200
"""The most characters; deep nesting would exhaust Python's parser."""


def value_of(number: Number) -> int | float:
    """Returns the value of a number of a rule file.

    Raises:
      OpError: the text is not arithmetic over numbers, or its value is not a finite number.
    """
    # A comparison, because `math.isfinite` fails on an integer beyond the range of floats.
    value = _computed(number) if isinstance(number, str) else number
    if not abs(value) <= sys.float_info.max:
        raise OpError(f"{number} is not a finite number")
    return value


def reciprocal(number: str) -> str:
    """Returns the arithmetic that divides by the value of another, without a fraction of a fraction."""
    tree = _parsed(number)
    match tree:
        case ast.BinOp(left=ast.Constant(value=1), op=ast.Div(), right=right):
            return ast.unparse(right)
        case ast.Call() | ast.Constant():
            return f"1/{ast.unparse(tree)}"
    return f"1/({ast.unparse(tree)})"


def negative(number: str) -> str:
    """Returns the arithmetic of the opposite number."""
    tree = _parsed(number)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return ast.unparse(tree.operand)
    simple = isinstance(tree, ast.Call | ast.Constant)
    return f"-{ast.unparse(tree)}" if simple else f"-({ast.unparse(tree)})"


@lru_cache(maxsize=1 << 8)
def _computed(text: str) -> int | float:
    tree = _parsed(text)
    try:
        return _compute(tree)
    except ZeroDivisionError:
        raise OpError(f"`{text}` divides by zero") from None
    except (OverflowError, ValueError):
        raise OpError(f"`{text}` is not a finite number") from None


def _parsed(text: str) -> ast.expr:
    if len(text) > _MOST_LENGTH:
        raise OpError(f"arithmetic of {len(text)} characters is too long; the limit is {_MOST_LENGTH}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise OpError(f"`{text}` is neither a number nor arithmetic such as `1/sqrt(16)`") from None
    _check(tree, text)
    return tree


def _check(node: ast.expr, text: str) -> None:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(left, text)
            _check(right, text)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand, text)
        case ast.Call(func=ast.Name(id="sqrt"), args=[operand], keywords=[]):
            _check(operand, text)
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            pass
        case ast.Name(id=name):
            raise OpError(f"`{text}` uses `{name}`; an argument of the file is written `${{{name}}}`")
        case _:
            raise OpError(f"`{text}` may contain only numbers, `+ - * /`, parentheses and `sqrt(…)`")


def _compute(node: ast.expr) -> int | float:
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_compute(left), _compute(right))
        case ast.UnaryOp(operand=operand):
            return -_compute(operand)
        case ast.Call(args=[operand]):
            return math.sqrt(_compute(operand))
        case ast.Constant(value=int() | float() as value):
            return value
    raise AssertionError(node)  # `_check` rejects all other nodes
