from hypothesis import given
from hypothesis import strategies as st

from migrate.printable import printable, read_escape


def test_text_without_control_characters_is_unchanged():
    assert "layers/0/größe → 層 ×2" == printable("layers/0/größe → 層 ×2")


def test_controls_bidirectional_marks_and_surrogates_become_escapes_on_one_line():
    assert r"\x1b]0;x\x07 \u202e \n \ud800" == printable("\x1b]0;x\x07 \u202e \n \ud800")


def test_a_command_to_a_workflow_is_no_command_any_more():
    assert r"a \x23#[endgroup]" == printable("a ##[endgroup]")


@given(st.characters())
def test_an_escape_is_read_back(char):
    shown = printable(char)
    assert shown == char or (char, len(shown)) == read_escape(shown, 0)


def test_other_text_is_no_escape():
    for text in ("x1b", r"\x1", r"\e", r"\U00110000", r"\*", ""):
        assert None is read_escape(text, 0)
