"""A probe in a rule file: the name of a function, or a mapping with tolerances."""

import pytest

from migrate.errors import RuleFileError
from migrate.rules.loader import parse_rules


def probe(text):
    rules = parse_rules(f"migrate: 1\nrules: []\nprobe: {text}\n", "r.yaml")
    return rules.probe, rules.probe_atol, rules.probe_rtol, (rules.probe_span.line, rules.probe_span.column)


def message(text):
    with pytest.raises(RuleFileError) as caught:
        parse_rules(f"migrate: 1\nrules: []\nprobe: {text}\n", "r.yaml")
    return caught.value.diagnostics[0].message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b:c", ("a.b:c", None, None, (3, 8))),
        ("{function: a.b:c}", ("a.b:c", None, None, (3, 19))),
        ("{atol: 0, rtol: 1e-3, function: a:b}", ("a:b", 0.0, 1e-3, (3, 40))),
        ("{function: a:b, atol: 1.0e-7}", ("a:b", 1e-7, None, (3, 19))),
    ],
)
def test_a_probe_and_its_tolerances_are_read(text, expected):
    assert expected == probe(text)


@pytest.mark.parametrize("text", ["3", "a", "[a:b]"])
def test_anything_else_is_refused(text):
    assert message(text).startswith("`probe` must be `module:callable`")


@pytest.mark.parametrize("value", ["-1", "x", ".inf", ".nan", "true", "[1]"])
def test_a_tolerance_is_finite_and_not_negative(value):
    assert "`rtol` must be a number such as `1e-5`" in message(f"{{function: a:b, rtol: {value}}}")


def test_a_probe_without_a_function_is_refused():
    assert "a probe needs the field `function`" == message("{atol: 1}")
