"""Conditions on captured integers, `{i:int where i%2==0}`: comparisons of integer expressions, `and`, `or` and `not`.

A condition narrows a pattern, so that two rules can divide the layers of a model between them. Like the arithmetic that
it compares, it is limited to what a plan can decide from a key path, and always has a value: a divisor is a number
other than zero.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import eq, ge, gt, le, lt, ne

from migrate.arithmetic import syntax_tree
from migrate.rules.expression import MAX_LENGTH, PatternError, check_arithmetic, compute

_COMPARISONS: dict[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.Eq: eq,
    ast.NotEq: ne,
    ast.Lt: lt,
    ast.LtE: le,
    ast.Gt: gt,
    ast.GtE: ge,
}
_DIGITS = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Condition:
    """A condition on captured integers; created by `Condition.parse`."""

    source: str

    @classmethod
    def parse(cls, source: str) -> Condition:
        """Parses a condition.

        Raises:
          PatternError: it contains anything besides comparisons of integer expressions, `and`, `or` and `not`, a
            divisor is not a number other than zero, or it contains no name.
        """
        condition = cls(source.strip())
        if not condition.names:
            raise PatternError(f"the condition `{condition.source}` contains no capture")
        return condition

    def __str__(self) -> str:
        return self.source

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names that it uses, in order of first appearance."""
        return tuple(dict.fromkeys(node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)))

    def holds(self, values: Mapping[str, object]) -> bool:
        """Returns whether captured texts satisfy it; texts that are no integers of at most 18 digits do not.

        Raises:
          KeyError: a name has no value.
        """
        texts = {name: values[name] for name in self.names}
        numbers = {n: int(t) for n, t in texts.items() if isinstance(t, str) and _DIGITS.fullmatch(t)}
        return len(numbers) == len(texts) and _holds(self._tree, numbers)

    def renamed(self, name: str, text: str) -> Condition:
        """Returns the condition with the text of an expression in place of a name."""
        return Condition(re.sub(rf"\b{re.escape(name)}\b", lambda _: text, self.source))

    @cached_property
    def _tree(self) -> ast.expr:
        if len(self.source) > MAX_LENGTH:
            length = len(self.source)
            raise PatternError(f"a condition of {length} characters is too long; the limit is {MAX_LENGTH}")
        tree = syntax_tree(self.source)
        if tree is None:
            raise PatternError(f"`{self.source}` is not a condition; write one such as `i%2 == 0`")
        _check(tree, self.source)
        return tree


def _check(node: ast.expr, source: str) -> None:
    match node:
        case ast.BoolOp(values=values):
            for value in values:
                _check(value, source)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check(operand, source)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARISONS for op in ops):
            for side in (left, *others):
                check_arithmetic(side, source)
                _check_divisors(side, source)
        case _:
            raise PatternError(
                f"`{source}` may contain only comparisons of integer expressions (`== != < <= > >=`), `and`, `or` and "
                "`not`"
            )


def _check_divisors(node: ast.expr, source: str) -> None:
    for divisor in _divisors(node):
        if not isinstance(divisor, ast.Constant) or divisor.value == 0:
            raise PatternError(f"`{source}` may divide only by a number other than zero")


def _divisors(node: ast.expr) -> Iterator[ast.expr]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.FloorDiv | ast.Mod):
            yield inner.right


def _holds(node: ast.expr, numbers: Mapping[str, int]) -> bool:
    match node:
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_holds(value, numbers) for value in values)
        case ast.BoolOp(values=values):
            return any(_holds(value, numbers) for value in values)
        case ast.UnaryOp(operand=operand):
            return not _holds(operand, numbers)
        case ast.Compare(left=left, ops=ops, comparators=others):
            found = [compute(side, numbers) for side in (left, *others)]
            return all(_COMPARISONS[type(op)](*pair) for op, pair in zip(ops, pairwise(found), strict=True))
    raise AssertionError(node)  # `_check` rejects all other nodes
