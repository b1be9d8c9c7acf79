"""Tests of `write` and `ops`; `tests/planning/invert/test_laws.py` reads the text of every op back."""

from hypothesis import given
from hypothesis import strategies as st

from migrate.ops.cast import Cast
from migrate.ops.concat import Split
from migrate.ops.rearrange import Rearrange
from migrate.ops.scale import Scale
from migrate.ops.transpose import Transpose
from migrate.planning.rule_text.ops import op_text
from migrate.planning.rule_text.rule_drafts import pattern, text_of
from migrate.planning.rule_text.write import drop_line, flow, move_lines
from migrate.rules.loader import parse_rules
from migrate.tree import format_path

ODD = (
    st.text(max_size=4)
    | st.text("ab0 *{}[]%\\/.:'\"#&!|>-\n\t\x1b\u2028é", max_size=5)
    | st.sampled_from(["", ".", "..", "~", "null", "true", "1e3", " a ", "a -> b", "\\e", "{x}", "**"])
)
PATHS = st.lists(ODD, min_size=1, max_size=4).map(tuple)


def test_a_rename_is_one_line():
    assert ['  - "a -> b"  # why'] == list(move_lines(["a"], ["b"], comment="why"))


def test_a_rule_that_fits_is_one_line():
    assert ['  - {from: "a", to: "b", except: ["a/c"], ops: [{flip: {axis: 0}}]}'] == list(
        move_lines(["a"], ["b"], ["flip: {axis: 0}"], excepts=["a/c"])
    )


def test_a_long_rule_has_a_line_for_each_field():
    long = ["a" * 60, "b" * 60]
    lines = list(move_lines(long, ["c"], ["concat: {axis: 0}"], comment="why"))
    assert ["  # why", "  - from:", f'      - "{long[0]}"', f'      - "{long[1]}"'] == lines[:4]
    assert ['    to: "c"', "    ops: [{concat: {axis: 0}}]"] == lines[4:]


def test_a_drop_may_assert():
    assert '  - drop: "a"' == drop_line("a")
    assert '  - drop: {from: "a", assert: zero}' == drop_line("a", assertion="zero")


def test_a_mapping_is_written_on_one_line():
    assert '{model: "m", version: 2}' == flow({"model": "m", "version": 2})


def test_ops_are_written_without_defaults():
    assert "transpose: {}" == op_text(Transpose())
    assert "split: {axis: 0, sizes: [1, 2], over: i}" == op_text(Split(0, (1, 2)), "i")
    assert 'rearrange: {pattern: "(a b) -> a b", sizes: {b: 2}}' == op_text(Rearrange("(a b) -> a b", (("b", 2),)))
    assert 'cast: {to: "key<fry>"}' == op_text(Cast("key<fry>"))


def test_a_float_has_a_point():
    assert "scale: {by: 1.0e-05}" == op_text(Scale(1e-05))
    assert "scale: {by: 0.25}" == op_text(Scale(0.25))


@given(PATHS, PATHS)
def test_a_rule_that_is_written_for_a_key_path_matches_it_alone(path, other):
    assert format_path(path) == pattern(text_of(path))
    lines = [*move_lines([format_path(path)], ["moved"]), drop_line(format_path(path))]
    move, drop = parse_rules("\n".join(("migrate: 1", "rules:", *lines, "")), "rules.yaml").rules
    for source in (*move.sources, *drop.sources):
        assert {} == source.match(path)
        assert (other == path) == (source.match(other) is not None)


def test_a_move_that_copies_and_whose_moments_follow_says_so():
    lines = list(move_lines(["a"], ["b"], ["transpose: [1, 0]"], copy=True, follow=True))
    assert ['  - {from: "a", to: "b", ops: [{transpose: [1, 0]}], copy: true, moments: follow}'] == lines
    assert ['  - {from: "a", to: "b", ops: [], moments: follow}'] == list(move_lines(["a"], ["b"], follow=True))
