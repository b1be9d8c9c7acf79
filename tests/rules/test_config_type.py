"""The fields of `config:` rules: their forms, and the mistakes of each."""

import pytest

from migrate.errors import RuleFileError
from migrate.rules.loader import load_rules, parse_rules


def read(rule):
    (found,) = parse_rules(f"migrate: 1\nrules: []\nconfig:\n  - {rule}", "rules.yaml").config
    return found


def parts(rule):
    found = read(rule)
    value = found.value and found.value.text
    return found.item, list(map(str, found.sources)), found.target and str(found.target), value, found.optional


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("a -> b", ("", ["a"], "b", None, False)),
        ("{from: a, to: b}", ("", ["a"], "b", None, False)),
        ("{in: config, from: a, to: b, optional: true}", ("config", ["a"], "b", None, True)),
        ("{to: b, value: null}", ("", [], "b", "null", False)),
        ("{from: [a, c], to: b, value: '{a} * {c}'}", ("", ["a", "c"], "b", "{a} * {c}", False)),
        ("{drop: [a, 'm/**']}", ("", ["a", "m/**"], None, None, False)),
        ("{from: a, drop: true}", ("", ["a"], None, None, False)),
        (r"{to: b, value: '\{a}'}", ("", [], "b", '"{a}"', False)),
    ],
)
def test_forms(rule, expected):
    assert expected == parts(rule)


@pytest.mark.parametrize(
    ("rule", "code", "message", "column"),
    [
        ("{to: a}", "M105", "this `config` rule has neither `from` nor `value`", 10),
        ("{from: a}", "M105", "this `config` rule has neither `to` nor `drop`", 12),
        ("{drop: true}", "M105", "`drop: true` drops the names of `from`, which is missing", 6),
        ("{from: a, drop: b}", "M105", "`drop` has the names already: remove `from`, or write `drop: true`", 12),
        ("{to: a, drop: b}", "M105", "a rule with `drop` has neither `to` nor `value`", 19),
        (
            "{drop: false}",
            "M104",
            "`drop` must be a pattern or a list of patterns; or `true`, beside `from`, not `false`",
            12,
        ),
        ("{to: a, value: .inf}", "M104", None, 20),
        ("{to: a, value: '{x} + y'}", "M106", None, 20),
        ("{to: a, value: '{*} + 1'}", "M106", "invalid formula: `{*}` is no name: a formula has no wildcards", 20),
        ("{to: '*', value: 3}", "M104", "`*` has a wildcard, which a rule with `value` cannot have", 11),
        ("{from: 'a/*', to: b, value: 3}", "M104", "`a/*` has a wildcard, which a rule with `value` cannot have", 13),
        ("{to: '{i}', from: a}", "M107", "`{i}` uses `i`, which is not captured on the left", 11),
        ("{form: a, to: b}", "M101", "a `config` rule has no field `form`", 6),
        ("{in: 3, from: a, to: b}", "M104", "`in` must be the name of a JSON item, not `3`", 10),
        ("a", "M105", "`a` is not a rule: a one-line rule is `from -> to`", 5),
        ("[a]", "M104", None, 5),
    ],
)
def test_mistakes_are_located(rule, code, message, column):
    with pytest.raises(RuleFileError) as caught:
        read(rule)
    (found,) = caught.value.diagnostics
    assert (code, 4, column) == (found.code, found.span.line, found.span.column)
    assert message in (None, found.message)


def test_an_uncaptured_name_is_explained_without_ops():
    with pytest.raises(RuleFileError) as caught:
        read("'{i} -> {j}'")
    assert "the left-hand side captures `i`" == caught.value.diagnostics[0].help


def test_included_files_add_their_rules_once(write):
    write(
        part=["args: {n: heads}", "rules: []", "config: [{to: '${n}', value: 1}]"],
        main=[
            "include: [part.yaml, {file: part.yaml, under: x, to: y}, {file: part.yaml, under: z, args: {n: layers}}]",
            "rules: []",
            "config: [a -> b]",
        ],
    )
    rules = load_rules("main.yaml")
    assert ["heads", "layers", "b"] == [str(rule.target) for rule in rules.config]
    assert 3 == rules.count
