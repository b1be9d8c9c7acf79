"""Arguments whose values a model's configuration states."""

from pathlib import Path

import pytest

from migrate.errors import RuleFileError
from migrate.formats.base import ModelConfig
from migrate.rules.loader import load_rules, parse_rules
from tests.rules.test_include import rules_of

PART = [
    "args: {head: {config: [head_dim, '{width} // {heads}'], default: 128}, act: {config: act, default: gelu}, n: 1}",
    *rules_of("{from: s, to: '${act}/s', ops: [pad: {widths: [[0, '${head}']]}]}"),
]
WITH_HEAD = {"head_dim": 16, "act": "silu"}
WITH_HEADS = {"head_dim": None, "width": 48, "heads": 6}


def config(content):
    return {"": ModelConfig(Path("old/config.json"), content)}


def result(rules):
    (rule,) = rules.rules
    return str(rule.targets[0]), rule.ops[0].op.widths[0][1]


def origins(rules):
    return [(one.name, one.value, one.origin, one.term) for one in rules.arguments]


@pytest.mark.parametrize(
    ("content", "expected", "head"),
    [
        (WITH_HEAD, ("silu/s", 16), ("head", 16, "config", "head_dim")),
        (WITH_HEADS, ("gelu/s", 8), ("head", 8, "config", "{width} // {heads}")),
        ({"head_dim": 16.0}, ("gelu/s", 16), ("head", 16, "config", "head_dim")),
        ({}, ("gelu/s", 128), ("head", 128, "default", "head_dim")),
    ],
)
def test_the_configuration_states_values(write, content, expected, head):
    write(main=PART)
    rules = load_rules("main.yaml").for_models(config(content))
    assert (expected, head) == (result(rules), origins(rules)[0])
    assert (expected, head) == (result(named := load_rules("main.yaml", config=config(content)[""])), origins(named)[0])


@pytest.mark.parametrize("value", ["64", "128"])
def test_the_call_comes_first_with_the_default_too(write, value):
    write(main=PART)
    rules = load_rules("main.yaml", {"head": value}).for_models(config(WITH_HEAD))
    assert ("silu/s", int(value)) == result(rules)
    assert ("head", int(value), "given", "head_dim") == origins(rules)[0]


def test_an_include_comes_first(write):
    write(main=["include: {file: part.yaml, args: {head: 7}}", "rules: []"], part=PART)
    rules = load_rules("main.yaml").for_models(config(WITH_HEAD))
    assert (("silu/s", 7), ["act"]) == (result(rules), [one.name for one in rules.arguments])


def test_an_include_has_a_place_in_the_configuration(write):
    write(main=["include: {file: part.yaml, config: text}", "rules: []"], part=PART)
    rules = load_rules("main.yaml").for_models(config({"text": WITH_HEAD, "head_dim": 3}))
    assert (("silu/s", 16), "text/head_dim") == (result(rules), origins(rules)[0][3])


def test_values_of_the_configuration_do_not_change_the_digest_and_need_no_file(write, tmp_path):
    write(main=["include: {file: part.yaml}", "rules: []"], part=PART)
    rules = load_rules("main.yaml")
    for file in tmp_path.iterdir():
        file.unlink()
    found = rules.for_models(config(WITH_HEAD))
    assert (("silu/s", 16), rules.digest, {}) == (result(found), found.digest, found.args)


def test_what_a_caller_changed_stays(write):
    write(main=PART)
    assert "zarr" == load_rules("main.yaml").stored_as("zarr").for_models(config(WITH_HEAD)).target.storage


def test_a_file_without_such_arguments_stays_as_it_is():
    rules = parse_rules("migrate: 1\nargs: {a: 1}\nrules: []", "rules.yaml")
    assert rules is rules.for_models(config(WITH_HEAD))
    assert () == rules.arguments


def test_arguments_of_the_template_have_the_value_too():
    text = "migrate: 1\nargs: {n: {config: heads, default: 1}}\ntarget: {template: 'm:f', args: {n: '${n}'}}\nrules: []"
    assert {"n": 6} == parse_rules(text, "rules.yaml").for_models(config(WITH_HEADS)).target.args


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"head_dim": "wide"}, '`head`, which is an integer, is `head_dim`, "wide" in `old/config.json`'),
        ({"head_dim": 1.5}, "is `head_dim`, 1.5 in `old/config.json`"),
        ({"head_dim": True}, "is `head_dim`, true in `old/config.json`"),
        ({"act": 3}, "the argument `act`, which is text, is `act`, 3 in `old/config.json`"),
        ({"width": 48, "heads": 7}, "cannot be computed: "),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_way_to_give_one(write, content, why):
    write(main=PART)
    with pytest.raises(RuleFileError) as caught:
        load_rules("main.yaml").for_models(config(content))
    (found,) = caught.value.diagnostics
    assert ("M641", "main.yaml", 2, True) == (found.code, found.span.file, found.span.line, why in found.message)
    assert "--arg " in found.help


@pytest.mark.parametrize(
    "declared", ["{config: a}", "{default: 1}", "{config: a, default: 1.5}", "{config: 3, default: 1}", "[1]"]
)
def test_a_declaration_has_a_name_and_a_default(declared):
    with pytest.raises(RuleFileError) as caught:
        parse_rules(f"migrate: 1\nargs: {{n: {declared}}}\nrules: []", "rules.yaml")
    assert {one.code for one in caught.value.diagnostics} <= {"M104", "M105"}
