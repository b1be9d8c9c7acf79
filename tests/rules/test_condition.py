"""Conditions on captured integers: they have the values of Python, and everything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.rules.condition import Condition
from migrate.rules.expression import PatternError

naturals = st.integers(0, 10**6)


@given(naturals, naturals)
def test_conditions_have_the_values_of_python(i, j):
    values = {"i": str(i), "j": str(j)}
    assert (i % 6 == 5) == Condition.parse("i%6 == 5").holds(values)
    assert (0 <= i - 2 < j) == Condition.parse("0 <= i-2 < j").holds(values)
    assert (not i > 3 and (j != 2 or i >= 1)) == Condition.parse("not i>3 and (j != 2 or i >= 1)").holds(values)
    assert (i // 7 <= j * 2) == Condition.parse("i//7 <= j*2").holds(values)


def test_a_text_that_is_no_integer_satisfies_no_condition():
    assert not Condition.parse("not i == 1").holds({"i": "one"})
    assert not Condition.parse("i >= 0").holds({"i": "9" * 19})
    assert not Condition.parse("i >= 0").holds({"i": ("1", "2")})


@pytest.mark.parametrize(
    "source",
    ["i", "i%2", "i = 1", "f(i) == 1", "i in (1, 2)", "i is 1", "i == 'a'", "i == 1.0", "i == True", "i/2 == 1"],
)
def test_only_comparisons_of_integer_expressions_are_allowed(source):
    with pytest.raises(PatternError):
        Condition.parse(source)


@pytest.mark.parametrize("source", ["i % 0 == 1", "i // j == 1", "i % (1-1) == 0"])
def test_a_divisor_is_a_number_other_than_zero(source):
    with pytest.raises(PatternError, match="may divide only by a number other than zero"):
        Condition.parse(source)


def test_a_condition_without_a_name_or_that_is_too_long_is_refused():
    with pytest.raises(PatternError, match="contains no capture"):
        Condition.parse("1 == 1")
    with pytest.raises(PatternError, match="too long; the limit is 100"):
        Condition.parse("i == 1" + " or i == 2" * 10)


def test_an_expression_replaces_a_name():
    assert "(2*i)%2==0 and ii<3" == Condition.parse("i%2==0 and ii<3").renamed("i", "(2*i)").source
