"""A shape that does not fit proposes an edit of the rule, and the edit removes the finding."""

import re

import pytest

from tests.planning.trees import planned

LAYERS = {f"l_{i}/k": "4,5" for i in range(3)}


def edited(rules, help):
    """The rules after the edit that a help proposes."""
    if proposed := re.search(r"`(- .*?)` gives", help):
        return f"{rules}\n{proposed[1]}"
    if ops := re.match(r"add `(ops: .*?)` to the rule", help):
        left, right = re.match(r'- "(.*) -> (.*)"', rules).groups()
        return f'- {{from: "{left}", to: "{right}", {ops[1]}}}'
    axes, op = re.match(r"write (.*?) in `(\w+)`", help).groups()
    first = re.search(r"axis: (\d+)", axes)[1]
    start = rules.index(op)
    return rules[:start] + re.sub(r"axis: -?\d+", f"axis: {first}", rules[start:], count=1)


@pytest.mark.parametrize(
    ("rules", "source", "wanted", "code"),
    [
        ('- {from: "l_{i}/k", to: all, ops: [{stack: {axis: 0, over: i}}]}', LAYERS, {"all": "4,3,5"}, "M301"),
        ('- {from: "l_{i}/k", to: all, ops: [{stack: {axis: 1, over: i}}]}', LAYERS, {"all": "4,5,3"}, "M301"),
        ('- {from: "l_{i}/k", to: all, ops: [{concat: {axis: 0, over: i}}]}', LAYERS, {"all": "4,15"}, "M301"),
        ("- {from: [a, b], to: all, ops: [{concat: {axis: 0}}]}", {"a": "4,5", "b": "4,6"}, {"all": "4,11"}, "M303"),
        (
            '- {from: a, to: "l/{i}", ops: [{unstack: {axis: 0, over: i}}]}',
            {"a": "4,2"},
            {"l/0": "4", "l/1": "4"},
            "M303",
        ),
        ("- {from: a, to: [x, y], ops: [{split: {axis: 0}}]}", {"a": "3,4"}, {"x": "3,2", "y": "3,2"}, "M303"),
        ("- {from: a, to: [x, y], ops: [{split: {axis: 0}}]}", {"a": "6,4"}, {"x": "6,2", "y": "6,2"}, "M301"),
        ("- {from: a, to: x, ops: [{squeeze: {axis: 0}}]}", {"a": "3,1,4"}, {"x": "3,4"}, "M303"),
        ("- {from: a, to: x, ops: [{expand_dims: {axis: 0}}]}", {"a": "3,4"}, {"x": "3,4,1"}, "M301"),
        ('- "a -> x"', {"a": "3,4"}, {"x": "4,3"}, "M301"),
        ('- "a -> x"', {"a": "3,4,5"}, {"x": "5,3,4"}, "M301"),
        ("", {"a": "3,4"}, {"a": "4,3"}, "M301"),
    ],
)
def test_the_edit_that_the_help_proposes_removes_the_finding(rules, source, wanted, code):
    findings = planned(rules, source, wanted).diagnostics
    assert [code] == [finding.code for finding in findings]
    assert [] == list(planned(edited(rules, findings[0].help), source, wanted).diagnostics)


@pytest.mark.parametrize("wanted", ["7,7", "4,4,3", "12"])
def test_a_shape_that_no_axis_gives_has_the_general_advice(wanted):
    (finding,) = planned('- {from: "l_{i}/k", to: all, ops: [{stack: {over: i}}]}', LAYERS, {"all": wanted}).diagnostics
    assert "reshape or transpose it with `ops:`" == finding.help


def test_a_square_matrix_proposes_no_order():
    (finding,) = planned('- "a -> x"', {"a": "3,3,4"}, {"x": "4,3,3"}).diagnostics
    assert "reshape or transpose it with `ops:`" == finding.help
