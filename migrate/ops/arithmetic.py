"""Numbers of ops that are written as arithmetic, such as `1/sqrt(16)`."""

from __future__ import annotations

import ast
import math
import sys
from functools import lru_cache
from operator import add, mul, sub, truediv

from migrate.arithmetic import ArithmeticSyntax, syntax_tree
from migrate.ops.base import OpError

Number = int | float | str
"""A number of a rule file, or the arithmetic that gives it."""

_ARITHMETIC = ArithmeticSyntax(
    {ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.Div: truediv}, (int, float), {"sqrt": math.sqrt}
)
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
        value: int | float = _ARITHMETIC.compute(tree, {})
    except ZeroDivisionError:
        raise OpError(f"`{text}` divides by zero") from None
    except (OverflowError, ValueError):
        raise OpError(f"`{text}` is not a finite number") from None
    return value


def _parsed(text: str) -> ast.expr:
    if len(text) > _MOST_LENGTH:
        raise OpError(f"arithmetic of {len(text)} characters is too long; the limit is {_MOST_LENGTH}")
    tree = syntax_tree(text)
    if tree is None:
        raise OpError(f"`{text}` is neither a number nor arithmetic such as `1/sqrt(16)`")
    foreign = _ARITHMETIC.foreign(tree)
    if isinstance(foreign, ast.Name):
        raise OpError(f"`{text}` uses `{foreign.id}`; an argument of the file is written `${{{foreign.id}}}`")
    if foreign is not None:
        raise OpError(f"`{text}` may contain only numbers, `+ - * /`, parentheses and `sqrt(…)`")
    return tree
