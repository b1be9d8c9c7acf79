import math

import pytest

from migrate.ops.arithmetic import negative, reciprocal, value_of
from migrate.ops.base import OpError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1/sqrt(16)", 0.25),
        ("1/sqrt(128)", 1 / math.sqrt(128)),
        ("-(1 + 2) * 3 - 4/8", -9.5),
        ("sqrt(48)", math.sqrt(48)),
        ("16 * 1e-1", 1.6),
        (2, 2),
        ("2", 2),
    ],
)
def test_arithmetic_has_the_value_that_python_gives(text, value):
    assert value == value_of(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1/sqrt(head_dim)", "`1/sqrt(head_dim)` uses `head_dim`; an argument of the file is written `${head_dim}`"),
        ("1/0", "`1/0` divides by zero"),
        ("sqrt(-1)", "`sqrt(-1)` is not a finite number"),
        ("1e308 * 10", "1e308 * 10 is not a finite number"),
        ("", "`` is neither a number nor arithmetic such as `1/sqrt(16)`"),
        ("1 +", "`1 +` is neither a number nor arithmetic such as `1/sqrt(16)`"),
        ("(" * 150 + ")" * 150, "arithmetic of 300 characters is too long; the limit is 200"),
        *(
            (text, f"`{text}` may contain only numbers, `+ - * /`, parentheses and `sqrt(…)`")
            for text in ("2 ** 3", "True", "'a'", "exp(1)", "sqrt(1, 2)", "(1).real", "[1]", "1 if 1 else 2", "1j")
        ),
    ],
)
def test_anything_else_is_refused_and_never_run(text, message):
    with pytest.raises(OpError) as caught:
        value_of(text)

    assert message == str(caught.value)


@pytest.mark.parametrize(
    ("text", "inverse"),
    [
        ("1/sqrt(16)", "sqrt(16)"),
        ("sqrt(16)", "1/sqrt(16)"),
        ("1/(2 * 3)", "2 * 3"),
        ("2/3", "1/(2 / 3)"),
        ("-2", "1/(-2)"),
        ("3", "1/3"),
    ],
)
def test_the_reciprocal_divides(text, inverse):
    assert inverse == reciprocal(text)
    assert math.isclose(1, value_of(text) * value_of(reciprocal(text)), rel_tol=1e-15)


@pytest.mark.parametrize(("text", "opposite"), [("sqrt(2)", "-sqrt(2)"), ("-2", "2"), ("1/3", "-(1 / 3)")])
def test_the_opposite_subtracts(text, opposite):
    assert opposite == negative(text)
    assert value_of(text) == -value_of(negative(text))
