"""YAML in rule files: YAML 1.2 scalars, the location of every node, and refused features."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.errors import Span
from migrate.rules.source import MAX_DEPTH, MapNode, ScalarNode, compose, plain, resolve


def read(text):
    node, findings = compose(text, "r.yaml")
    assert [] == findings
    return node


def findings_of(text):
    return [(d.code, d.span.line, d.span.column, d.span.end_column) for d in compose(text, "r.yaml")[1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("off", "off"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("0o17", 15),
        ("017", 17),
        ("0x1F", 31),
        ("-12", -12),
        ("+3", 3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-1.", -1.0),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("~", None),
        ("", None),
        ("null", None),
        ("NULL", None),
        ("nUll", "nUll"),
        ("True", True),
        ("false", False),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text, value):
    assert value == resolve(text)
    assert type(value) is type(resolve(text))


def test_not_a_number_is_a_float():
    assert math.isnan(resolve(".nan"))


@pytest.mark.parametrize("text", ["'12'", '"12"', "|-\n  12"])
def test_quoted_scalars_are_text(text):
    assert {"a": "12"} == plain(read(f"a: {text}\n"))


def test_every_key_and_value_has_its_place():
    root = read("rules:\n  - from: 'é/x'\n    to: [a, {b: c}]\nname:\n")
    rules, rule = root.get("rules"), root.get("rules").items[0]
    assert Span("r.yaml", 1, 1, 1, 6) == root.entries[0][0].span
    assert Span("r.yaml", 2, 3, 3, 20) == rules.span
    assert Span("r.yaml", 2, 5, 3, 20) == rule.span
    assert Span("r.yaml", 2, 11, 2, 16) == rule.get("from").span
    assert Span("r.yaml", 3, 9, 3, 20) == rule.get("to").span
    assert Span("r.yaml", 3, 17, 3, 18) == rule.get("to").items[1].get("b").span
    assert Span("r.yaml", 4, 6, 4, 7) == root.get("name").span


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abcd", (5, 7)), ("'abcd'", (6, 8)), ('"abcd"', (6, 8)), ('"ab\\x63d"', (4, 13)), ("'ab''d'", (4, 11))],
)
def test_a_piece_of_a_scalar_has_its_place_unless_escapes_hide_it(text, columns):
    span = read(f"k: {text}\n").get("k").span_of(1, 2)
    assert columns == (span.column, span.end_column)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("a: 1\nb: 2\n'a': 3\n", ("M002", 3, 1, 4)),
        ("a: {b: 1, b: 2}\n", ("M002", 1, 11, 12)),
        ("a: !!python/name:os.system x\n", ("M003", 1, 4, 29)),
        ("a: !x [1]\n", ("M003", 1, 4, 8)),
        ("<<: {a: 1}\n", ("M003", 1, 1, 3)),
        ("? [a]\n: 1\n", ("M003", 1, 3, 6)),
        ("a: &x [*x]\n", ("M003", 1, 8, 10)),
        ("a: *x\n", ("M003", 1, 4, 6)),
        ("--- a\n--- b\n", ("M003", 2, 1, 4)),
        ("a: " + "[" * (MAX_DEPTH + 1), ("M003", 1, MAX_DEPTH + 3, MAX_DEPTH + 4)),
        ("a: [b\n", ("M001", 2, 1, 2)),
        ("a:\n\tb: 1\n", ("M001", 2, 1, 2)),
        ("a: */x\n", ("M001", 1, 5, 6)),
        ("a: b\né: \x07\n", ("M001", 2, 4, 5)),
        ("a: \ud800\n", ("M001", 1, 4, 5)),
        ("a: " + "9" * 2000 + "\n", ("M104", 1, 4, 2004)),
    ],
)
def test_what_rule_files_do_not_have_is_refused_at_its_place(text, finding):
    assert [finding] == findings_of(text)


def test_all_findings_are_found_at_once():
    assert ["M002", "M003", "M003"] == sorted(code for code, *_ in findings_of("a: 1\na: !x 2\nb: !y 3\n"))


def test_a_duplicate_key_says_where_the_first_one_stands():
    _, findings = compose("a: 1\n\na: 2\n", "r.yaml")
    assert "first on line 1" == findings[0].label


def test_aliases_share_what_their_anchor_holds():
    assert {"a": [1, 2], "b": [1, 2]} == plain(read("a: &x [1, 2]\nb: *x\n"))


def test_aliases_that_expand_without_bound_are_refused_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    node, findings = compose("\n".join(lines), "r.yaml")
    assert ["M003"] == [d.code for d in findings]
    assert node.size < 1_000_000


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n"])
def test_a_text_without_a_document_has_no_root(text):
    assert read(text) is None


@given(st.text() | st.text(alphabet="ab:-[]{}&*!|>'\"#\n \t?,%<", max_size=40))
def test_any_text_is_nodes_or_findings(text):
    node, findings = compose(text, "r.yaml")
    assert node is None or isinstance(plain(node), str | int | float | list | dict | type(None))
    for finding in findings:
        assert finding.code in ("M001", "M002", "M003", "M104")
        assert finding.span is None or (finding.span.line >= 1 and finding.span.column >= 1)


@given(st.dictionaries(st.text(alphabet="abcé_", min_size=1), st.integers() | st.booleans() | st.none(), max_size=5))
def test_flow_mappings_come_back_as_they_were_written(data):
    import json

    node = read(json.dumps(data, ensure_ascii=False))
    assert isinstance(node, MapNode)
    assert data == plain(node)
    assert all(isinstance(key, ScalarNode) and key.quoted for key, _ in node.entries)
