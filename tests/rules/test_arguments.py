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


@pytest.mark.parametrize("value", ["[1]", "1.5", "true"])
def test_a_value_is_text_or_an_integer(write, value):
    write(main=[f"args: {{net: {value}}}", "rules: []"])
    with pytest.raises(RuleFileError, match="`net` must be text or an integer"):
        load_rules("main.yaml")


def test_a_caller_gives_values_in_the_types_of_the_defaults(write):
    write(main=NET)
    rules = load_rules("main.yaml", {"net": 7, "depth": "0"})
    assert [("1/{n}/**", "7/{n}/**"), ("s", "7/s")] == sides(rules.rules)
    assert (0, {"net": "7", "depth": 0}) == (rules.rules[1].ops[0].op.axis, rules.args)


def test_values_of_a_caller_are_part_of_the_digest_unless_they_are_the_defaults(write):
    write(main=NET)
    plain = load_rules("main.yaml")
    assert plain.digest == load_rules("main.yaml", {"depth": 2, "net": "policy"}).digest
    digests = {plain.digest, *(load_rules("main.yaml", {"depth": depth}).digest for depth in (0, 1))}
    assert 3 == len(digests)


@pytest.mark.parametrize(
    ("args", "message", "label"),
    [
        ({"dept": 1}, "`main.yaml` has no argument `dept`", "did you mean `depth`?"),
        ({"depth": "deep"}, "the argument `depth` of `main.yaml` is an integer, not `deep`", None),
    ],
)
def test_a_value_that_the_file_cannot_take_is_refused(write, args, message, label):
    write(main=NET)
    with pytest.raises(RuleFileError) as caught:
        load_rules("main.yaml", args)
    (finding,) = caught.value.diagnostics
    assert ("M113", message, label) == (finding.code, finding.message, finding.label)
