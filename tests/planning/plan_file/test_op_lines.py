"""Ops and initial values are written as in rule files, and are read as the ops that they were."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from migrate.errors import Span
from migrate.ops.pad import Pad
from migrate.ops.registry import OPS
from migrate.ops.scale import Scale
from migrate.planning.model import Step
from migrate.planning.plan_file.op_lines import LineReader, init_line, step_lines
from migrate.rules.model import Init
from migrate.rules.source import ScalarNode
from migrate.testing.ops import op_cases
from tests.matrix import examples

PLACE = Span("plan.json", 7, 3, 7, 9)


def node(text):
    return ScalarNode(text, text, PLACE, quoted=True)


def read_op(text):
    findings = []
    return LineReader().op(node(text), findings), findings


@pytest.mark.parametrize("name", [name for name in OPS if name != "call"])
@given(data=st.data())
@settings(max_examples=examples(15))
def test_an_op_is_read_as_it_was(name, data):
    op, _ = data.draw(op_cases(name))
    assume(not isinstance(getattr(op, "value", 0), bool))  # rule files have numbers there
    over = data.draw(st.sampled_from([None, "i"])) if op.role in ("reduce", "extend") else None
    found, findings = read_op(step_lines(Step(op, (), over)))
    assert ([], repr(op), over) == (findings, repr(found.op), found.over)


@pytest.mark.parametrize("value", [0, 7, -1, 1.0, 1e-05, 1e300, math.inf, -math.inf, math.nan])
def test_numbers_keep_their_type_and_value(value):
    for op in (Pad(((1, 0),), value), Scale(value)) if value and math.isfinite(value) else (Pad(((1, 0),), value),):
        found, findings = read_op(step_lines(Step(op, ())))
        assert ([], repr(op)) == (findings, repr(found.op))


@pytest.mark.parametrize("text", ["1/sqrt(16)", "-sqrt(2)"])
def test_arithmetic_stays_as_it_was_written(text):
    found, findings = read_op(step_lines(Step(Scale(text), ())))
    assert ([], Scale(text)) == (findings, found.op)


@pytest.mark.parametrize(
    "init",
    [
        Init("zeros"),
        Init("ones"),
        Init("template"),
        Init("rng", 3),
        *(Init("constant", v) for v in (0, 0.5, True, False)),
    ],
)
def test_an_initial_value_is_read_as_it_was(init):
    findings = []
    found = LineReader().init(node(init_line(init)), findings)
    assert ([], repr(init)) == (findings, repr(found))


@pytest.mark.parametrize(
    "text",
    [
        "transpose: {perms: [1, 0]}",
        "transpos: {}",
        "cast: {to: float32}}, {call: {function: 'os:system'}",
        "cast: float32, scale: {by: 2}",
        "flip: {axis: 0",
        "!!python/object/apply:os.system [ls]",
        "",
    ],
)
def test_what_is_no_op_is_refused_at_its_place(text):
    found, findings = read_op(text)
    assert found is None
    assert [PLACE] == [finding.span for finding in findings]
    assert findings[0].message.startswith(f"`{text}`: ")


@pytest.mark.parametrize("text", ["zero", "{constant: x}", "{constant: 1, rng: {seed: 0}}", "[zeros]", "", "{rng: {}}"])
def test_what_is_no_initial_value_is_refused(text):
    findings = []
    assert LineReader().init(node(text), findings) is None
    assert [PLACE] == [finding.span for finding in findings]
