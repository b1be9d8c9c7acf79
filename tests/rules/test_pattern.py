"""Patterns: matches, captures, filled key paths, and refused patterns.

Covers `migrate.rules.matching` and `migrate.rules.syntax`.
"""

import re
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.printable import printable
from migrate.rules.pattern import Pattern, PatternError
from migrate.tree import format_path, parse_path

keys = st.text(alphabet=string.ascii_letters + string.digits + "_./{}*\\ |:é", min_size=1, max_size=8)
paths = st.lists(keys, min_size=1, max_size=5).map(tuple)


def match(pattern, path):
    return Pattern.parse(pattern).match(parse_path(path))


@pytest.mark.parametrize(
    ("pattern", "path", "bindings"),
    [
        ("params/Dense_0/kernel", "params/Dense_0/kernel", {}),
        ("params/Dense_{i}/kernel", "params/Dense_12/kernel", {"i": "12"}),
        ("Dense_{i:int}", "Dense_7", {"i": "7"}),
        ("{p:query|key|value}/kernel", "key/kernel", {"p": "key"}),
        ("{p:a|ab}c", "abc", {"p": "ab"}),
        ("params/*/kernel", "params/Dense_0/kernel", {"*0": "Dense_0"}),
        ("Dense*", "Dense", {"*0": ""}),
        ("**/kernel", "kernel", {"**0": ()}),
        ("**/kernel", "a/b/kernel", {"**0": ("a", "b")}),
        ("a/**", "a", {"**0": ()}),
        ("{head:**}/mid/{tail:**}", "a/mid/b/c", {"head": ("a",), "tail": ("b", "c")}),
        ("a_{x}/b_{x}", "a_1/b_1", {"x": "1"}),
        ("{x:**}/and/{x}", "a/b/and/a/b", {"x": ("a", "b")}),
        ("block_{i}_{j}", "block_1_2", {"i": "1", "j": "2"}),
        (r"Dense_0\/kernel\/scale", r"Dense_0\/kernel\/scale", {}),
        (r"\{x\}\*", r"\{x\}\*", {}),
        (r"{p:a\|b|c\/d}", r"c\/d", {"p": "c/d"}),
        (r"{p:a\||b}", "a|", {"p": "a|"}),
        (".", ".", {}),
    ],
)
def test_a_pattern_captures(pattern, path, bindings):
    assert bindings == match(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("params/Dense_{i}", "params/Dense_"),
        ("params/{x}", "params/a/b"),
        ("params/*", "params"),
        ("params/*/kernel", r"params/\/kernel"),
        ("Dense_{i:int}", "Dense_a"),
        ("Dense_{i:int}", "Dense_٣"),
        ("{p:query|key}", "querykey"),
        ("a_{x}/b_{x}", "a_1/b_2"),
        ("layers/{i:int where i%2==0}/w", "layers/5/w"),
        ("{i:int}/{j:int where j==i+1}", "3/5"),
        ("layers/{2*j}/w", "layers/7/w"),
        ("layers/{2*j+4}/w", "layers/2/w"),
        ("layers/{2*j}/w", "layers/04/w"),
        ("layers/{2*j}/w", "layers/x/w"),
        ("{2*j}/{2*j+1}", "2/5"),
        ("{i:int}/{i+1}", "3/5"),
        ("a.c", "abc"),
        ("a/**/b", "a"),
        ("a/**/a", "a"),
        ("a/b", r"a\/b"),
        ("a", "A"),
    ],
)
def test_a_pattern_does_not_match(pattern, path):
    assert match(pattern, path) is None


def test_a_whole_segment_of_one_star_is_never_empty():
    assert Pattern.parse("a/*").match(("a", "")) is None


def test_an_earlier_wildcard_takes_as_much_as_it_can():
    assert {"name": "Dense_Block", "i": "3"} == match("{name}_{i}", "Dense_Block_3")
    assert {"**0": ("a", "x"), "**1": ()} == match("**/x/**", "a/x/x")


def test_bindings_are_in_the_order_of_the_pattern():
    assert ["j", "*0", "i", "**0"] == list(match("{j}/*/{i}/**", "1/x/2/y"))
    assert ("j", "*0", "i", "**0") == Pattern.parse("{j}/*/{i}/**").captures


@pytest.mark.parametrize(
    ("left", "path", "right", "filled"),
    [
        ("Dense_{i}/**", "Dense_3/kernel", "layers/{i}/**", "layers/3/kernel"),
        ("Dense_{i}/**", "Dense_3", "layers/{i}/**", "layers/3"),
        ("*/b_*", "x/b_y", "*-*", "x-y"),
        ("**/m/**", "a/b/m/c", "**/n/**", "a/b/n/c"),
        ("l_{i}", "l_7", "{i+1}", "8"),
        ("l_{i}", "l_7", "{i}", "7"),
        ("l_{k}", "l_7", "{k//2}/{k%2}", "3/1"),
        ("{i}/{j}", "2/3", "b{i*4+j}_{i}", "b11_2"),
        ("l_{i:int}", "l_007", "{i}/{i+0}", "007/7"),
        ("{i}", "5", "{-1 * (2 - i)}", "3"),
        ("{a:**}/x", "p/q/x", "y/{a}", "y/p/q"),
        ("{a}", r"p\/q", "{a}/x", r"p\/q/x"),
        ("{a:**}/x", "p/x", "n_{a}", "n_p"),
    ],
)
def test_the_right_hand_side_is_filled(left, path, right, filled):
    bindings = match(left, path)
    assert filled == format_path(Pattern.parse(right).fill(bindings))


@pytest.mark.parametrize(
    ("right", "bindings", "message"),
    [
        ("l/{i}", {}, "`i` has no value"),
        ("l_{i}_{j}", {"i": "1"}, "`j` has no value"),
        ("l/{i+1}", {}, "`i+1` has no value"),
        ("l/{i+1}", {"i": "head"}, "`{i+1}` needs an integer, but `i` is `head`"),
        ("l/{i+1}", {"i": ("a", "b")}, "`{i+1}` needs an integer, but `i` is `a/b`"),
        ("l/{i+1}", {"i": "9" * 5000}, "needs an integer"),
        ("l/{i-1}", {"i": "0"}, "`{i-1}` is -1 for i = 0; an index cannot be negative"),
        ("l/{4//i}", {"i": "0"}, "`{4//i}` divides by zero for i = 0"),
        ("l_{a}", {"a": ("x", "y")}, "`a` is `x/y`, which is more than one segment"),
        ("a/*", {"*0": ""}, "a segment would be empty"),
    ],
)
def test_what_cannot_be_filled_says_why(right, bindings, message):
    with pytest.raises(PatternError) as caught:
        Pattern.parse(right).fill(bindings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "offset", "length", "message"),
    [
        ("", 0, 1, "a segment is empty"),
        ("a/{i", 2, 1, "unclosed `{`"),
        ("a/i}", 3, 1, "unmatched `}`"),
        ("a/{}", 2, 2, "`{}` is neither a name nor an integer expression"),
        ("a/{3}", 2, 3, "`{3}` contains no capture"),
        ("a/{2x}", 2, 4, "neither a name nor an integer expression"),
        ("a/{i/2}", 2, 5, "only names, integers and `+ - * // %`"),
        ("a/{i**2}", 2, 6, "only names, integers"),
        ("a/{f(i)}", 2, 6, "only names, integers"),
        ("a/{i+True}", 2, 8, "only names, integers"),
        ("a/{i." + "x" * 200 + "}", 2, 204, "too long"),
        ("a/{1x:int}", 2, 8, "invalid name `1x`"),
        ("a/{p:x|}", 2, 6, "is empty"),
        ("a/{p:}", 2, 4, "is empty"),
        ("a/{p:x/y|z}", 2, 9, "contains `/`"),
        ("{x:int}/{x:a|b}", 8, 7, "declared twice with different types"),
        ("{x}/{x:int}", 4, 7, "declared twice with different types"),
        ("a/***", 2, 3, "invalid wildcard `***`"),
        ("a/b**", 3, 2, "`**` matches whole segments"),
        ("a/b{x:**}", 3, 6, "`**` matches whole segments"),
        (r"a\d", 1, 2, r"invalid escape `\d`"),
        ("a\\", 1, 2, "invalid escape"),
    ],
)
def test_a_broken_pattern_is_refused_with_its_place(text, offset, length, message):
    with pytest.raises(PatternError) as caught:
        Pattern.parse(text)
    assert message in str(caught.value)
    assert (offset, length) == (caught.value.offset, caught.value.length)


@pytest.mark.parametrize(
    ("text", "offsets"),
    [
        ("a/{i//2}/{j*k}", [2, 9]),
        ("a/{i+1}/{j*2}", []),
        ("a/{i}{j}", [5]),
        ("a/*{i:int}", [3]),
        ("a_{i}/**/**/{x}", [9]),
        ("a/{p:x|y}{j}", []),
        ("a/{i}_{j}/**", []),
    ],
)
def test_what_cannot_stand_on_the_left_is_found(text, offsets):
    assert offsets == [error.offset for error in Pattern.parse(text).left_side_errors()]


def test_names_hold_captures_and_what_expressions_use():
    pattern = Pattern.parse("{a}/{i*4+j}/*")
    assert ("a", "*0") == pattern.captures
    assert frozenset({"a", "i", "j", "*0"}) == pattern.names


@pytest.mark.parametrize(
    ("text", "literal"), [("a/b", True), (".", True), (r"a\*", True), ("a/*", False), ("{i+1}", False)]
)
def test_a_literal_matches_one_key_path_only(text, literal):
    assert literal == Pattern.parse(text).is_literal


def test_key_groups_sources_of_one_target_before_new_names_have_a_value():
    pattern = Pattern.parse("blocks/{i}/{p}/{k*2+i}")
    one, same, other = ({"p": "x", "k": k, "z": z} for k, z in (("1", "a"), ("1", "b"), ("2", "a")))
    assert pattern.key(one) == pattern.key(same)
    assert pattern.key(one) != pattern.key(other)
    assert hash(pattern.key(one)) == hash(pattern.key(same))


def test_key_with_every_name_is_the_filled_key_path():
    pattern = Pattern.parse("{a}{b}/x")
    assert ("xyz", "x") == pattern.key({"a": "x", "b": "yz"}) == pattern.key({"a": "xy", "b": "z"})


def test_a_right_hand_side_matches_a_target_and_checks_its_arithmetic():
    pattern = Pattern.parse("{i}/{i+1}")
    assert {"i": "3"} == pattern.match(("3", "4"))
    assert pattern.match(("3", "5")) is None
    assert pattern.match(("x", "5")) is None
    assert {"i": "3"} == Pattern.parse("blocks/{i+1}").match(("blocks", "4"))
    assert {} == Pattern.parse("blocks/{i//2}").match(("blocks", "4"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/{i:int where i/2==1}", "may contain only names, integers"),
        ("a/{i:int where i}", "may contain only comparisons"),
        ("a/{i:int where}", "is not a condition"),
        ("a/{i:int where j==1}", "uses `j`, which is not an integer: the pattern does not capture it"),
        ("{x}/{i:int where i>x}", "uses `x`, which is not an integer: write `{x:int}`"),
        ("a/{i where i%2==0}", "only an integer can have a condition; write `{i:int where i%2==0}`"),
        ("{i:int}/{i:int where i>1}", "declared twice"),
    ],
)
def test_a_condition_that_cannot_be_decided_is_refused(text, message):
    with pytest.raises(PatternError, match=re.escape(message)):
        Pattern.parse(text)


def test_a_condition_cannot_stand_on_the_right():
    (error,) = Pattern.parse("a/{i:int where i>1}").right_side_errors()
    assert ("a condition is allowed only on the left-hand side; write `{i}` here", 2) == (str(error), error.offset)
    assert [] == list(Pattern.parse("a/{i:int}/{i//2}").right_side_errors())


def test_a_regular_expression_matches_the_whole_escaped_key_path():
    pattern = Pattern.regex(r"params/(?P<name>\w+?)_(?P<i>\d+)/(?P<rest>.+)")
    assert {"name": "Dense", "i": "3", "rest": ("a", "b/c")} == pattern.match(("params", "Dense_3", "a", "b/c"))
    assert pattern.match(("x", "params", "Dense_3", "a")) is None
    assert ("name", "i", "rest") == pattern.captures
    assert pattern.is_regex
    assert not pattern.is_literal


def test_a_group_of_a_regular_expression_may_hold_any_number_of_segments():
    pattern = Pattern.regex(r"(?P<head>.*/)?kernel")
    target = Pattern.parse("{head:**}/scale")
    assert ("scale",) == target.fill(pattern.match(("kernel",)))
    assert ("a", "b", "scale") == target.fill(pattern.match(("a", "b", "kernel")))


def test_a_broken_regular_expression_is_refused_with_its_place():
    with pytest.raises(PatternError) as caught:
        Pattern.regex("params/(?P<x>[a-z)")
    assert caught.value.offset == 13


def test_a_regular_expression_cannot_be_filled():
    with pytest.raises(PatternError):
        Pattern.regex("a").fill({})


def test_patterns_are_equal_when_their_texts_are():
    assert Pattern.parse("a/{i}") == Pattern.parse("a/{i}")
    assert Pattern.parse("a") != Pattern.regex("a")
    assert str(Pattern.parse("a/{i}")) == "a/{i}"


@given(paths)
def test_a_printed_key_path_is_a_literal_pattern_of_itself(path):
    if path == (".",):  # prints like the root
        return
    pattern = Pattern.parse(format_path(path))
    assert pattern.is_literal
    assert {} == pattern.match(path)
    assert path == pattern.fill({})
    assert path == parse_path(format_path(path))


@st.composite
def patterns_with_a_path(draw):
    """A pattern and a key path that it should match, made side by side."""
    pieces = draw(
        st.lists(st.sampled_from(["text", "run", "glob", "rest", "int", "choice", "mixed"]), min_size=1, max_size=5)
    )
    pattern, path = [], []
    for n, piece in enumerate(pieces):
        key = draw(keys)
        digits = draw(st.integers(0, 999).map(str))
        segments, source = {
            "text": ((key,), format_path((key,)) if key != "." else r"\."),
            "run": ((key,), f"{{n{n}}}"),
            "glob": ((key,), "*"),
            "rest": (draw(st.lists(keys, max_size=3).map(tuple)), "**"),
            "int": ((digits,), f"{{n{n}:int}}"),
            "choice": (("b",), f"{{n{n}:a|b}}"),
            "mixed": ((f"x_{key}_{digits}",), f"x_{{n{n}}}_{{m{n}:int}}"),
        }[piece]
        pattern.append(source)
        path += segments
    return "/".join(pattern), tuple(path)


@given(patterns_with_a_path())
def test_match_then_fill_is_the_identity(case):
    text, path = case
    pattern = Pattern.parse(text)
    bindings = pattern.match(path)
    assert bindings is not None
    assert list(pattern.captures) == list(bindings)
    assert path == pattern.fill(bindings)
    assert path == pattern.key(bindings)


@given(st.text(alphabet="ab/{}*\\:|+1 _i", max_size=30))
def test_any_text_is_a_pattern_or_a_pattern_error_inside_the_text(text):
    try:
        errors = list(Pattern.parse(text).left_side_errors())
    except PatternError as error:
        errors = [error]
    assert all(0 <= error.offset <= len(text) for error in errors)


def test_ten_thousand_leaves_and_fifty_patterns_match_in_well_under_a_second():
    leaves = [("params", "encoder", f"layer_{i}", part, "kernel") for i in range(2000) for part in "qkvod"]
    patterns = [Pattern.parse(f"params/encoder/layer_{{i}}/{part}{n}/kernel") for n in range(10) for part in "qkvod"]
    patterns[0] = Pattern.parse("params/**/layer_{i}/q/kernel")
    start = time.process_time()
    found = sum(pattern.match(path) is not None for path in leaves for pattern in patterns)
    assert found == 2000
    assert time.process_time() - start < 6.0  # 0.2 s on one slow core


@pytest.mark.parametrize("pattern", ["{x:**}", "**", "a*", "{x}"])
def test_a_wildcard_matches_no_key_with_the_character_that_ends_segments(pattern):
    assert Pattern.parse(pattern).match(("a\0b",)) is None


def test_an_empty_segment_is_empty_text_or_an_escape():
    for text in ("a//b", r"a/\e/b"):
        pattern = Pattern.parse(text)
        assert {} == pattern.match(("a", "", "b"))
        assert None is pattern.match(("a", "b"))
        assert ("a", "", "b") == pattern.fill({})
    assert {"i": "0"} == Pattern.parse("m_{i}//w").match(("m_0", "", "w"))
    assert None is Pattern.parse("m_{i}//w").match(("m_0", "w"))
    assert ("", "n_0", "") == Pattern.parse("/n_{i}/").fill({"i": "0"})
    assert None is Pattern.parse("a/*/w").match(("a", "", "w"))
    assert {"**0": ("", "w")} == Pattern.parse("a/**").match(("a", "", "w"))


@pytest.mark.parametrize("text", [r"a\x1b/\u202e", r"{p:a\x1b|b}/\u202e"])
def test_escapes_of_the_output_are_characters(text):
    assert None is not Pattern.parse(text).match(("a\x1b", "\u202e"))


odd = st.text(max_size=4) | st.text("ab0 *{}[]%\\/.:'\"#&!|>-\n\t\x1b\u2028é", max_size=5)
odd = odd | st.sampled_from(["", ".", "..", "~", "null", "true", "1e3", " a ", "a -> b", "\\e", "{x}", "**"])
odd_paths = st.lists(odd, min_size=1, max_size=4).map(tuple)


@given(odd_paths, odd_paths)
def test_a_printed_key_path_matches_that_key_path_alone(path, other):
    for text in (format_path(path), printable(format_path(path))):
        pattern = Pattern.parse(text)
        assert {} == pattern.match(path)
        assert (other == path) == (pattern.match(other) is not None)
        assert pattern.fill({}) == path


@pytest.mark.parametrize(
    ("text", "distinguishes"),
    [("a/{i}", True), ("a/{i+1}", True), ("a/{i%6}", False), ("{i//2}/{i}", True), ("a/{j}", False)],
)
def test_a_pattern_distinguishes_values_unless_it_divides_them(text, distinguishes):
    assert distinguishes == Pattern.parse(text).distinguishes("i")
