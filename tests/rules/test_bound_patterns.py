"""`from:` as a mapping of names to patterns."""

import pytest

from migrate.errors import RuleFileError
from migrate.rules.loader import parse_rules


def move(sources, ops="[dequantize]"):
    (rule,) = parse_rules(f"migrate: 1\nrules:\n  - {{from: {sources}, to: b, ops: {ops}}}", "rules.yaml").rules
    return rule


def problems(sources, ops="[dequantize]"):
    with pytest.raises(RuleFileError) as error:
        move(sources, ops)
    return [(one.code, one.message) for one in error.value.diagnostics]


def test_each_pattern_has_a_name():
    rule = move('{value: "a/w", scale?: "a/s"}')
    assert (("value", "scale"), frozenset({"scale"})) == (rule.names, rule.maybe)
    assert ["a/w", "a/s"] == [str(pattern) for pattern in rule.sources]


def test_patterns_without_names_are_bound_to_their_positions():
    rule = move("[a/w, a/s]")
    assert ((), ("0", "1")) == (rule.names, rule.bound)


def test_a_mapping_with_the_key_regex_alone_is_a_regular_expression():
    assert () == move('{regex: "a"}', "[]").names
    rule = move('{value: {regex: "a/w"}, scale: a/s}')
    assert [True, False] == [pattern.is_regex for pattern in rule.sources]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ('{"1": a, scale: b}', "`1` cannot be the name of a leaf"),
        ("{value: a, regex: b}", "`regex` cannot be the name of a leaf"),
        ("{value: a, value?: b}", "`value` is bound twice"),
        ("{}", "must be a pattern"),
        ("{value: a}", "a regular expression has no field `value`"),
        ("{value: [a, b], scale: c}", "`value` must be a pattern"),
    ],
)
def test_other_mappings_are_refused(sources, message):
    assert any(message in found for _, found in problems(sources))


def test_every_bound_pattern_captures_what_the_right_hand_side_uses():
    with pytest.raises(RuleFileError, match="not captured by every pattern of `from`"):
        parse_rules(
            'migrate: 1\nrules:\n  - {from: {value: "{i}/w", scale: s}, to: "{i}", ops: [dequantize]}', "rules.yaml"
        )
