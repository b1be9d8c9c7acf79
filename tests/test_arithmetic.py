"""The syntax of arithmetic: what belongs to it is computed, and everything else is found."""

import ast
import math
from operator import add, mul

import pytest

from migrate.arithmetic import ArithmeticSyntax, syntax_tree

SUMS = ArithmeticSyntax({ast.Add: add}, (int,), has_names=True)
ROOTS = ArithmeticSyntax({ast.Add: add, ast.Mult: mul}, (int, float), {"sqrt": math.sqrt})


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(SUMS, "-(a + 2) + b", 6), (ROOTS, "sqrt(16) * 2.5 + 1", 11.0), (SUMS, " 7 ", 7)],
)
def test_what_belongs_to_it_is_computed(kind, text, value):
    tree = syntax_tree(text)
    assert kind.foreign(tree) is None
    assert value == kind.compute(tree, {"a": 1, "b": 9})


@pytest.mark.parametrize(
    ("kind", "text", "foreign"),
    [
        (SUMS, "a * 2", "a * 2"),
        (SUMS, "a + 2.5", "2.5"),
        (SUMS, "a + True", "True"),
        (SUMS, "sqrt(a)", "sqrt(a)"),
        (ROOTS, "sqrt(x)", "x"),
        (ROOTS, "sqrt(1, 2)", "sqrt(1, 2)"),
        (ROOTS, "2 + exp(1)", "exp(1)"),
        (ROOTS, "+2", "+2"),
        (ROOTS, "(1).real", "1 .real"),
        (ROOTS, "[i for i in (1,)]", "[i for i in (1,)]"),
    ],
)
def test_the_first_node_that_does_not_belong_to_it_is_found(kind, text, foreign):
    assert foreign == ast.unparse(kind.foreign(syntax_tree(text)))


@pytest.mark.parametrize("text", ["", "1 +", "a = 1", "\0", "(" * 5000])
def test_text_that_is_no_expression_has_no_tree(text):
    assert syntax_tree(text) is None
