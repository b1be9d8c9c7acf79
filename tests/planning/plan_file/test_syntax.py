"""Strict JSON, with the position of every value."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.errors import PlanError
from migrate.planning.plan_file.syntax import parse
from migrate.rules.source import MAX_DEPTH, plain

SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 2]), st.booleans())
def test_it_reads_what_json_writes(value, indent, ascii_only):
    assert value == plain(parse(json.dumps(value, indent=indent, ensure_ascii=ascii_only), "plan.json"))


def test_positions_are_those_of_an_editor():
    root = parse('{\n  "a": [1, "two"]\n}', "plan.json")
    items = root.get("a")
    assert (2, 8, 2, 18) == (items.span.line, items.span.column, items.span.end_line, items.span.end_column)
    assert "plan.json:2:12" == str(items.items[1].span)


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("", "a JSON value is expected", "1:1"),
        ('{"a": 1', "`,` or `}` is expected", "1:8"),
        ('{"a": 1,}', "a key in double quotes is expected", "1:9"),
        ('{"a" 1}', "`:` is expected", "1:6"),
        ('{"a": 1, "a": 2}', "the key `a` is there twice", "1:10"),
        ("[1,]", "a JSON value is expected", "1:4"),
        ("[NaN]", "a JSON value is expected", "1:2"),
        ("[01]", "`,` or `]` is expected", "1:3"),
        ('{\n"a": 1} x', "there is text after the end of the plan", "2:9"),
        ('["a\nb"]', "invalid JSON text: Invalid control character at", "1:4"),
        ('["\\ud800"]', "the text has an unpaired surrogate", "1:2"),
        (f"[{'1' * 2000}]", "a number of 2000 characters is too long", "1:2"),
        ("// no\n{}", "a JSON value is expected", "1:1"),
        ("[" * 100_000, f"the plan is nested deeper than {MAX_DEPTH} levels", f"1:{MAX_DEPTH + 1}"),
    ],
)
def test_other_text_is_refused_with_its_place(text, message, place):
    with pytest.raises(PlanError) as caught:
        parse(text, "plan.json")
    (found,) = caught.value.diagnostics
    assert (message, f"plan.json:{place}", "M320") == (found.message, str(found.span), found.code)
