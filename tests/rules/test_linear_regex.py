"""Regular expressions of rule files match in linear time, and mean what they mean to `re`."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.errors import PlanError, RuleFileError
from migrate.rules.expression import PatternError
from migrate.rules.linear_regex import compile_regex
from migrate.rules.loader import parse_rules
from migrate.rules.matching import _SegmentMatcher
from migrate.rules.pattern import Pattern

LONG = "a" * 5_000
KILLERS = (
    r"(a+)+b",
    r"(a*)*b",
    r"([a-zA-Z]+)*b",
    r"(a|aa)+b",
    r"(a|a?)+b",
    r"(.*a){20}b",
    r"(?:a?){30}a{30}b",
    r"(x+x+)+y|(a+a+)+b",
    r"(?P<x>(?:a+)+)/b",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
)
SAMPLES = (
    "a",
    "ab",
    "params/Dense_0/kernel",
    "layer_12/é",
    "λ/٣/x y",
    "a-b_c",
    "",
    "x]y",
    "a{,3}b",
    "a[b",
    "tab\tline\n",
    "\x1c\x85 ",
    "A",
    "aaa",
    "ß/中文",
    "9",
    "_",
    ".",
    "a.b",
    "\b",
    "é",
)
ALIKE = (
    r"\w+",
    r"\W+",
    r"\d",
    r"\D+",
    r"\s+",
    r"\S+",
    r"[\w/]+",
    r"[\d]+",
    r"[^\w]+",
    r"[\s]+",
    r"a{,3}",
    r"a{,}b?",
    r"a{1,2}b",
    r"[]x]+y",
    r"[^]a]+",
    r"[a[b]+",
    r"a\[b",
    r"a\{,3\}b",
    r"[a{,3}b]+",
    r".*",
    r"(?s:.*)",
    r"(?i)A+",
    r"(?i:É|Λ).*",
    r"é",
    "\\u00e9",
    r"\x61",
    r"a\Z",
    r"^a$",
    r"(?P<x>[^/]+)/(?P<y>.*)",
    r"(?P<head>.*/)?kernel",
    r"a|b|(?P<z>A)",
    r"[\b]",
    r"(?:)",
    r"\.",
    r"a\.b",
    r"[a-c.]+",
    r"[\]x]+y",
    r"[[-a]+",
    r"\\",
    r"(.)(.)?",
    r"(?m)^.*$",
    r"\t",
    r"[\t\n a-z]+",
    r"\141",
    r"[\x00-\x7f]+",
    r"(a*?)(a*)",
    r"(a??)(a*)",
)


@pytest.mark.parametrize("text", KILLERS)
def test_classic_killers_take_no_time(text):
    started = time.process_time()
    assert Pattern.regex(text).match((LONG, LONG)) is None
    assert time.process_time() - started < 10


@pytest.mark.parametrize("text", ALIKE)
def test_an_expression_means_what_it_means_to_python(text):
    ours, theirs = compile_regex(text), re.compile(text)
    for sample in SAMPLES:
        found, expected = ours.fullmatch(sample), theirs.fullmatch(sample)
        assert (expected and expected.groups()) == (found and found.groups()), sample
        assert dict(theirs.groupindex) == dict(ours.groupindex)


ATOMS = st.sampled_from(
    ["a", "b", "é", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", r"[ab\d]", r"[^\w/]", r"[^\s\d]", "(a|b)", r"\.", "."]
)
REPEATS = st.sampled_from(["", "*", "+", "?", "{1,2}", "{,2}", "*?", "+?"])


@given(st.lists(st.tuples(ATOMS, REPEATS).map("".join), min_size=1, max_size=6), st.text("abé1 _٣/-.", max_size=8))
def test_random_expressions_mean_what_they_mean_to_python(parts, sample):
    text = "".join(parts)
    found, expected = compile_regex(text).fullmatch(sample), re.compile(text).fullmatch(sample)
    assert (expected and expected.groups()) == (found and found.groups())


@pytest.mark.parametrize(
    "text",
    [
        r"(?=a)b",
        r"(?!a)b",
        r"(?<=a)b",
        r"(?<!a)b",
        r"(a)\1",
        r"(?P<x>a)(?P=x)",
        r"(?>a+)b",
        r"a++",
        r"(a)?(?(1)b|c)",
        r"[\W]",
        r"[a\S]",
    ],
)
def test_what_needs_backtracking_is_refused_at_load_time(text):
    with pytest.raises(RuleFileError) as caught:
        parse_rules(f"migrate: 1\nrules:\n  - {{from: {{regex: '{text}'}}, to: b}}\n", "rules.yaml")
    (finding,) = caught.value.diagnostics
    assert "M106" == finding.code
    assert "supported" in finding.message
    assert (3, 19) <= (finding.span.line, finding.span.column)


def test_a_lone_surrogate_matches_nothing():
    assert Pattern.regex(".*").match(("a\udcff",)) is None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("*a*a*a*a*a*a*b", (LONG,)),
        ("x/*a*a*a*a*a*a*a*a*b/*c*c*c*d", ("x", LONG, "c" * 5_000)),
        ("**/a/**/a/**/a/**/a/**/a/**/b", ("a",) * 200),
        ("{a:x|xx}{b:x|xx}" + "".join(f"{{c{i}:x|xx}}" for i in range(40)) + "y", ("x" * 60,)),
    ],
)
def test_wildcards_take_no_time_on_long_key_paths(text, path):
    started = time.process_time()
    assert Pattern.parse(text).match(path) is None
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("*a*b{n}", ("aaxbyby",)),
        ("**/{a}.{b}/**/*/c\n", ("x", "y.z.w", "p", "q", "c\n")),
        ("**/*", ("", "x")),
        ("*", ("",)),
        ("**", ("", "")),
        ("**/*/{m:**}/z", ("a", "", "b", "z")),
        ("{x:int}{k:a|aa}*", ("12aab",)),
    ],
)
def test_both_engines_divide_a_key_path_alike(monkeypatch, text, path):
    backtracking = Pattern.parse(text).match(path)
    monkeypatch.setattr(_SegmentMatcher, "_is_fast", lambda *_: False)
    linear = Pattern.parse(text).match(path)
    assert backtracking == linear
    assert backtracking is None or list(backtracking) == list(linear)


def test_a_name_used_twice_is_refused_on_a_key_path_that_would_take_for_ever():
    with pytest.raises(PlanError, match="uses a name twice"):
        Pattern.parse("{a}x{b}x{c}x{d}x{a}").match(("x" * 5_000,))


def test_an_invalid_expression_keeps_the_place_of_its_mistake():
    with pytest.raises(PatternError) as caught:
        compile_regex("ab(c")
    assert 2 == caught.value.offset
