"""The values of `config:` rules: constants of JSON, and integer formulas over names in braces."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.rules.expression import PatternError
from migrate.rules.formula import Constant, Formula, read_term, term_value
from migrate.tree import format_path

VALUES = {
    ("width",): 64,
    ("heads",): 8,
    ("m", "odd name"): 3,
    ("rate",): 0.1,
    ("on",): True,
    ("a/b",): 2,
    ("x{",): 5,
    ("huge",): 2**512,
}


def computed(text):
    return Formula.parse(text).compute(VALUES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{width} // {heads}", 8),
        ("{width} // ({heads} + {heads})", 4),
        ("-{heads} % 3 + {m/odd name}", 4),
        (r"{a\/b} * {x\{}", 10),
        ("{rate}", 0.1),
        (" {on} ", True),
        ("{width} - {width} * 2", -64),
    ],
)
def test_formulas_compute(text, expected):
    assert json.dumps(expected) == json.dumps(computed(text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{width} // 7", "64 // 7 leaves the remainder 1 for width = 64; the value must be an integer"),
        ("{width} // ({heads} - 8)", "it divides by zero for width = 64, heads = 8"),
        ("{rate} * 2", "`rate` is 0.1, not an integer"),
        ("{on} * 2", "`on` is true, not an integer"),
        ("{width} + n0", "may contain only names in braces"),
        ("{width} / 2", "may contain only names, integers"),
        ("{width} ** 2", "may contain only names, integers"),
        ("{width} 2", "neither a name nor an integer expression"),
        ("f({width})", "may contain only names in braces"),
        ("{width", "may contain only names in braces"),
        ("*".join(["{huge}"] * 9), "the result has more than 4,096 bits"),
        ("{width} + 1.5", "may contain only names in braces"),
        ("{width}" + " + 1" * 40, "is too long"),
    ],
)
def test_what_is_no_integer_is_refused(text, problem):
    with pytest.raises(PatternError) as caught:
        computed(text)
    assert problem in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(JSON)
def test_every_value_of_json_is_read_as_it_was_written(value):
    term = Constant.of(value)
    written = term_value(term)
    assert term == (read_term(written) if isinstance(written, str) else Constant.of(written))


def test_values_that_only_python_takes_for_equal_differ():
    assert 3 == len({Constant.of(1), Constant.of(1.0), Constant.of(True)})


@given(st.lists(st.text(), min_size=1).map(tuple), st.integers(-99, 99))
def test_a_copy_of_any_name_reads_that_name(path, value):
    formula = Formula.parse(Formula.of(path).text)
    assert (path, value) == (formula.copied, formula.compute({path: value}))
    assert 2 * value + 1 == Formula.parse(f"{{{format_path(path)}}} * 2 + 1").compute({path: value})


def test_terms_take_the_place_of_names():
    half = Formula.parse("{a} // 2")
    assert "({a} // 2) * {b}" == Formula.parse("{x} * {b}").substituted({("x",): half}).text
    assert half == Formula.parse("{x}").substituted({("x",): half})
    assert Constant.of("gelu") == Formula.parse("{x}").substituted({("x",): Constant.of("gelu")})
    assert Constant.of(7) == Formula.parse("1 - {x}").substituted({("x",): Constant.of(-6)})
    assert "1 - (-6) * {b}" == Formula.parse("1 - {x} * {b}").substituted({("x",): Constant.of(-6)}).text
