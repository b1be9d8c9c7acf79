"""Which bound names an op takes, and rules whose names and ops do not fit."""

import pytest

from migrate.errors import RuleFileError
from migrate.rules.input_names import names_taken
from migrate.rules.loader import parse_rules


def parsed(sources, ops):
    (rule,) = parse_rules(f"migrate: 1\nrules:\n  - {{from: {sources}, to: t, ops: {ops}}}", "rules.yaml").rules
    return rule


@pytest.mark.parametrize(
    ("sources", "op", "names"),
    [
        ("{value: a, scale: b}", "dequantize", ("value", "scale")),
        ("{scale: a, value: b}", "dequantize", ("value", "scale")),
        ("{scale: a, zero_point: c, value: b}", "dequantize", ("value", "scale", "zero_point")),
        ("{w: a, s: b}", "{dequantize: {of: [w, s]}}", ("w", "s")),
        ("[a, b]", "dequantize", ("0", "1")),
        ("{x: a, y: b, z: c}", "sum", ("x", "y", "z")),
        ("{x: a, y: b}", "{product: [y, x]}", ("y", "x")),
        ("{x: a, y: b}", "{call: {function: 'm:f', of: [x, y]}}", ("x", "y")),
    ],
)
def test_an_op_takes_the_names_of_its_inputs_or_of_its_list(sources, op, names):
    rule = parsed(sources, f"[{op}]")
    assert names == names_taken(rule.ops[0].op, rule)


@pytest.mark.parametrize(
    ("sources", "ops", "message", "advice"),
    [
        ("{v: a, s: b}", "[dequantize]", "takes `value`, `scale`, which `from` does not bind", "`of: [v, s]`"),
        ("{value: a, s: b}", "[dequantize]", "takes `scale`, which", "`of: [value, s]`"),
        ("{v: a, s: b}", "[{dequantize: {of: [v, t]}}]", "takes `t`, which `from` does not bind", "binds `v`, `s`"),
        ("[a, b]", "[{dequantize: {of: [v, s]}}]", "takes `v`, which `from` does not bind", "bind it"),
        ("a", "[{transpose: {of: v}}]", "takes `v`, which `from` does not bind", "bind it"),
        ("{base: a, a: b, b: c, s: d}", "[{lora: 1}]", "binds `s`, and no op takes it", "of: [base, s]"),
        ("{v: a, s: b}", "[transpose]", "binds `s`, and no op takes it", "of: [v, s]"),
        ("{v: a, s: b, z: c}", "[{sum: [v, s]}, {sum: [s, z]}]", "`s`, which an op before it has combined", None),
        ("[a, b, c, d]", "[dequantize]", "takes 3 arrays (value, scale, zero_point?), and gets 4", "bind names"),
        ("a", "[sum]", "takes two different arrays or more", "bind them"),
        ("{v: a, s: b}", "[{sum: [v, v]}]", "takes two different arrays or more", "bind them"),
        ("a", "[{lora: 2}]", "`lora` takes `a`, `b`, which", "bind them"),
    ],
)
def test_names_and_ops_that_do_not_fit_are_refused(sources, ops, message, advice):
    with pytest.raises(RuleFileError) as error:
        parsed(sources, ops)
    (found,) = error.value.diagnostics
    assert ("M221", True) == (found.code, message in found.message), found.message
    assert (advice or "") in (found.help or "")
    assert found.span is not None


def test_the_result_of_an_op_has_the_name_of_its_first_input():
    rule = parsed(
        "{w: a, s: b, a: c, b: d}", "[{dequantize: {of: [w, s]}}, {lora: {scale: 2, of: [w, a, b]}}, transpose]"
    )
    assert 3 == len(rule.ops)
