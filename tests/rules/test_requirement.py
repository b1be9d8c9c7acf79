"""Requirements of a rule file: their fields, their mistakes, and those of included files.

Also covers `requirement_type`.
"""

import pytest

from migrate.errors import RuleFileError
from migrate.rules.loader import load_rules, parse_rules


def read(text, args="{n: 3}"):
    return parse_rules(f"migrate: 1\nargs: {args}\nrequires:\n  - {text}\nrules: []", "rules.yaml").requires[0]


def texts(requirements):
    return [str(one.terms) for one in requirements]


def test_the_fields_of_a_requirement():
    one = read("{config: [a/b, '{c} * 2'], is: [null, '{d}', [1]], default: 7, because: why, otherwise: warn}")
    assert ("`a/b` or `{c} * 2`", ["null", "{d}", "[1]"]) == (str(one.terms), [term.text for term in one.wanted])
    assert ("7", "why", True, "rules.yaml:4:6") == (one.default.text, one.because, one.warns, str(one.span))


def test_what_a_short_one_means():
    one = read("{config: a, is: 1, because: why}")
    assert ("null", False, "") == (one.default.text, one.warns, one.argument)


@pytest.mark.parametrize(("args", "value"), [("{n: 3}", 3), ("{n: {config: heads, default: 4}}", 4)])
def test_one_of_an_argument_has_its_value(args, value):
    one = read("{arg: n, is: 1, because: why}", args)
    assert ("n", value, None) == (one.argument, one.value, one.terms)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("{is: 1, because: why}", "M105", "a requirement has either `config` or `arg`"),
        ("{config: a, arg: n, is: 1, because: why}", "M105", "a requirement has either `config` or `arg`"),
        ("{config: a, because: why}", "M105", "a requirement needs the field `is`"),
        ("{config: a, is: 1}", "M105", "a requirement needs the field `because`"),
        ("{config: a, is: 1, because: why, otherwise: fail}", "M104", "`otherwise` must be `refuse` or `warn`"),
        ("{arg: m, is: 1, because: why}", "M107", "`m` is not an argument of this file"),
        ("{config: a, is: [], because: why}", "M104", "`is` must be"),
        ("word", "M104", "`requires` must be a mapping"),
    ],
)
def test_mistakes(text, code, message):
    with pytest.raises(RuleFileError) as caught:
        read(text)
    (found,) = caught.value.diagnostics
    assert (code, True) == (found.code, message in found.message)


PART = ["requires: [{config: rope, is: '{size}', because: why}]", "rules: ['a -> b']"]


def test_requirements_of_included_files_apply_once_below_their_place(write):
    write(
        main=[
            "include:",
            "  - {file: between.yaml, under: x, config: text}",
            "  - {file: part.yaml, under: y}",
            "  - {file: part.yaml, under: z}",
            "rules: []",
        ],
        between=["include: {file: part.yaml, config: inner}", "rules: []"],
        part=PART,
    )
    rules = load_rules("main.yaml")
    assert ["`text/inner/rope`", "`rope`"] == texts(rules.requires)
    assert "{text/inner/size}" == rules.requires[0].wanted[0].text


def test_an_include_can_leave_out_requirements(write):
    write(main=["include: {file: part.yaml, requires: false}", "rules: []"], part=PART)
    assert () == load_rules("main.yaml").requires
