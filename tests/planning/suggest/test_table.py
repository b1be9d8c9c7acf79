"""The table of the docs equals the computed one, and has no wrong suggestion."""

import pytest

from tests.planning.suggest.table import PAGE, rows, updated


@pytest.mark.matrix
def test_the_page_says_what_is_computed_and_nothing_is_wrong():
    text, lines = PAGE.read_text(encoding="utf-8"), list(rows())
    assert updated(text, lines) == text
    assert {"0"} == {line.split(" | ")[6] for line in lines}


def test_the_page_has_the_lines_that_are_computed_for_a_sample():
    text, lines = PAGE.read_text(encoding="utf-8"), list(rows(every=30))
    assert len(lines) >= 3
    assert [] == [line for line in lines if line not in text]


def test_rows_of_checkpoints_that_are_not_here_stay():
    text = "<!-- table -->\n| a | real checkpoint | 1 |\n| b | Linen | 2 |\n<!-- end of the table -->"
    assert "| a | real checkpoint | 1 |" in updated(text, ["| b | Linen | 3 |\n"])
    assert "| b | Linen | 2 |" not in updated(text, ["| b | Linen | 3 |\n"])
