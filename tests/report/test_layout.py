"""Text within a number of columns: no line is longer, unless it is one word, and no word is divided."""

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.report.layout import UNBOUNDED, Layout

WORDS = st.text("ab/,.`'{} ", max_size=200)


@given(WORDS, st.integers(20, 60), st.integers(0, 6))
def test_no_word_is_lost_or_divided(text, width, hang):
    lines = Layout(width).wrap(text, hang)
    assert text.split() == " ".join(lines).split()
    assert all(len(line) <= width or len(line.split()) == 1 or "`" in line for line in lines)


@given(st.text("ab/,{}", min_size=1, max_size=300), st.integers(20, 60))
def test_key_paths_end_after_a_separator(path, width):
    lines = Layout(width).break_path(path)
    assert path == "".join(line.strip() for line in lines)
    assert all(re.search("[/,]$", line) for line in lines[:-1])


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("model/norms/{bias,scale}", ["model/norms/", "  {bias,scale}"]),
        ("model/norm/{bias,kernel,scale}/x", ["model/norm/{bias,", "  kernel,scale}/x"]),
        ("{mu/head/{bias,kernel},nu/head}", ["{mu/head/{bias,", "  kernel},nu/head}"]),
        ("a/MultiHeadDotProductAttention_0/b", ["a/", "  MultiHeadDotProductAttention_0/", "  b"]),
        ("odd{/key/path/of/three", ["odd{/key/path/of/", "  three"]),
    ],
)
def test_key_paths_end_between_segments_where_a_segment_fits(path, lines):
    assert lines == Layout(18).break_path(path)


def test_later_lines_hang():
    assert ["one two", "  three"] == Layout(8).wrap("one two three")
    assert ["  one", "    two"] == Layout(8).wrap("  one two")
    assert ["a", "bb cc"] == Layout(5).wrap("a bb cc", hang=0, first=3)
    assert ["a  b"] == UNBOUNDED.wrap("a  b")


COMMAND = "Next: `migrate check 'my rules.yaml' some/long/checkpoint --template package.module:make`, then apply"


def test_a_command_stays_on_one_line_where_it_fits():
    assert ["Next:", "  `migrate inspect old`,", "  again"] == Layout(26).wrap("Next: `migrate inspect old`, again")


def test_a_command_that_does_not_fit_can_be_pasted_all_the_same():
    lines = Layout(40, continued=True).wrap(COMMAND)
    assert max(map(len, lines)) <= 40
    (command,) = re.findall("`([^`]*)`", "\n".join(lines))
    assert ["migrate", "check", "my rules.yaml", "some/long/checkpoint", "--template", "package.module:make"] == (
        shlex.split(command.replace("\\\n", ""))
    )
    (whole,) = re.findall("`([^`]*)`", "\n".join(Layout(40).wrap(COMMAND)))
    assert "\n" not in whole


@pytest.mark.parametrize(
    ("cell", "tail", "lines"),
    [
        ("a/b", "x", ["a/b    x"]),
        ("a/b", "some     detail", ["a/b  some  detail"]),
        ("a/b", "more words than fit", ["a/b    more words", "       than fit"]),
        ("a/long/path", "with words", ["a/long/path", "    with words"]),
        ("a/b", "no_room_for_it 1", ["a/b", "    no_room_for_it", "    1"]),
        ("    a/b/long/it", "8 bytes", ["    a/b/long/it", "        8 bytes"]),
    ],
)
def test_a_column_follows_a_cell_or_is_below_it(cell, tail, lines):
    assert lines == Layout(20).columns(cell, tail, 5, 2)
