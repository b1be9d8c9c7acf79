"""Arithmetic in the text of rule files: Python's parser reads it, every node is checked, and it is computed here.

Nothing of it is run as Python.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


def syntax_tree(text: str) -> ast.expr | None:
    """Returns the syntax tree of an expression; None for any other text."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@dataclass(frozen=True)
class ArithmeticSyntax:
    """What one kind of expression consists of, beside parentheses and minus signs.

    Attributes:
      operators: the operators between two operands, by the type of their node.
      numbers: the types of its numbers.
      functions: functions of one operand, by name.
      has_names: whether names stand for numbers.
    """

    operators: Mapping[type[ast.operator], Callable[[Any, Any], Any]]
    numbers: tuple[type, ...]
    functions: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    has_names: bool = False

    def foreign(self, node: ast.expr) -> ast.expr | None:
        """Returns the first node of a syntax tree that is not part of the arithmetic; None if there is none."""
        match node:
            case ast.BinOp(left=left, op=op, right=right) if type(op) in self.operators:
                return self.foreign(left) or self.foreign(right)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.foreign(operand)
            case ast.Call(func=ast.Name(id=name), args=[operand], keywords=[]) if name in self.functions:
                return self.foreign(operand)
            case ast.Name() if self.has_names:
                return None
            case ast.Constant(value=value) if type(value) in self.numbers:
                return None
        return node

    def compute(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        """Returns the value of a syntax tree without foreign nodes.

        Args:
          node: the tree.
          values: the value of each name.

        Raises:
          ArithmeticError: a divisor is zero, or a function or operator has no value for its operands.
        """
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                return self.operators[type(op)](self.compute(left, values), self.compute(right, values))
            case ast.UnaryOp(operand=operand):
                return -self.compute(operand, values)
            case ast.Call(func=ast.Name(id=name), args=[operand]):
                return self.functions[name](self.compute(operand, values))
            case ast.Name(id=name):
                return values[name]
            case ast.Constant(value=value):
                return value
        raise AssertionError(node)  # `foreign` finds all other nodes
