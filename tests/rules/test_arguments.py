"""Arguments of rule files: defaults, the values of an include, and names that nothing declares."""

import pytest

from migrate.errors import RuleFileError
from migrate.rules.loader import load_rules
from tests.rules.test_include import refused, rules_of, sides

NET = [
    "args: {net: policy, depth: 2}",
    *rules_of('"1/{n}/** -> ${net}/{n}/**"', "{from: s, to: '${net}/s', ops: [expand_dims: '${depth}']}"),
]


def test_a_file_that_is_applied_directly_uses_its_defaults(write):
    write(main=NET)
    rules = load_rules("main.yaml").rules
    assert [("1/{n}/**", "policy/{n}/**"), ("s", "policy/s")] == sides(rules)
    assert 2 == rules[1].ops[0].op.axis


def test_an_include_gives_values(write):
    write(main=['include: {file: net.yaml, args: {net: body, depth: 0}, under: "a_{k}"}', "rules: []"], net=NET)
    rules = load_rules("main.yaml").rules
    assert [("a_{k}/1/{n}/**", "a_{k}/body/{n}/**"), ("a_{k}/s", "a_{k}/body/s")] == sides(rules)
    assert 0 == rules[1].ops[0].op.axis


def test_values_go_through_a_file_between(write):
    write(
        main=["include: {file: between.yaml, args: {where: actor}}", "rules: []"],
        between=["args: {where: x}", 'include: {file: net.yaml, args: {net: "${where}/net"}}', "rules: []"],
        net=NET,
    )
    assert ("1/{n}/**", "actor/net/{n}/**") == sides(load_rules("main.yaml").rules)[0]


def test_a_name_that_the_file_does_not_declare_is_refused_where_it_is_written(write):
    write(main=["args: {net: policy}", *rules_of('"a -> ${nett}/b"')])
    (finding,) = refused()
    assert ("M107", "did you mean `net`?", 4, 11) == (
        finding.code,
        finding.label,
        finding.span.line,
        finding.span.column,
    )


def test_an_argument_that_the_included_file_lacks_is_refused_at_the_include(write):
    write(main=["include: {file: net.yaml, args: {nett: a}}", "rules: []"], net=NET)
    (finding,) = refused()
    assert ("M110", "did you mean `net`?", "main.yaml") == (finding.code, finding.label, finding.span.file)


def test_without_arguments_a_dollar_is_a_character(write):
    write(main=rules_of('"${n} -> x/{n}"'))
    assert [("${n}", "x/{n}")] == sides(load_rules("main.yaml").rules)


@pytest.mark.parametrize("value", ["[1]", "{a: b}", "1.5", "true"])
def test_a_value_is_text_or_an_integer(write, value):
    write(main=[f"args: {{net: {value}}}", "rules: []"])
    with pytest.raises(RuleFileError, match="`net` must be text or an integer"):
        load_rules("main.yaml")
