"""Integer arithmetic in patterns: its values are Python's, and everything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.rules.expression import Expression, PatternError

naturals = st.integers(0, 10**18 - 1)


@given(naturals, naturals)
def test_expressions_have_the_values_of_python(i, j):
    values = {"i": str(i), "j": str(j)}
    assert i + j * 2 == Expression.parse("i+j*2").evaluate(values)
    assert (i + j) * 2 == Expression.parse("(i+j)*2").evaluate(values)
    assert i // 3 + i % 3 == Expression.parse("i//3 + i%3").evaluate(values)


def test_names_are_in_the_order_of_their_first_use():
    assert ("j", "i") == Expression.parse("j*4 + i + j").names


def test_a_leading_zero_of_a_captured_index_is_ignored():
    assert 8 == Expression.parse("i+1").evaluate({"i": "007"})


@pytest.mark.parametrize(
    ("source", "values", "message"),
    [
        ("i-2", {"i": "1"}, "`{i-2}` is -1 for i = 1; an index cannot be negative"),
        ("-i+j", {"i": "3", "j": "2"}, "is -1 for"),
        ("i//j", {"i": "1", "j": "0"}, "divides by zero for i = 1, j = 0"),
        ("i%j", {"i": "1", "j": "0"}, "divides by zero"),
        ("i+1", {"i": "one"}, "needs an integer, but `i` is `one`"),
        ("i+1", {"i": "-1"}, "needs an integer"),
        ("i+1", {"i": "٣"}, "needs an integer"),
        ("i+1", {"i": ("a", "b")}, "`i` is `a/b`"),
        ("i+1", {"i": "9" * 19}, "needs an integer"),
    ],
)
def test_a_value_that_cannot_be_computed_is_refused(source, values, message):
    with pytest.raises(PatternError) as caught:
        Expression.parse(source).evaluate(values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "source", ["i/2", "i**2", "f(i)", "i.real", "i[0]", "i if j else k", "i+1.5", "i+True", "~i", "+i"]
)
def test_only_names_integers_and_five_operators_are_allowed(source):
    with pytest.raises(PatternError, match="may contain only names, integers"):
        Expression.parse(source)


def test_zero_is_an_index():
    assert 0 == Expression.parse("i-1").evaluate({"i": "1"})


def test_a_long_expression_is_refused_before_it_is_parsed():
    assert ("i",) == Expression.parse("i" + "+1" * 49).names
    with pytest.raises(PatternError, match="too long; the limit is 100"):
        Expression.parse("i" + "+1" * 50)


@pytest.mark.parametrize(
    ("source", "groups"), [("i", False), ("i+1", False), ("i*4+j", False), ("i//2", True), ("1+i%6", True)]
)
def test_division_and_remainder_group_their_values(source, groups):
    assert groups == Expression.parse(source).groups
