import pytest

from migrate.report.text import draw
from migrate.report.view import Report, Row


def test_the_parts_of_a_report_are_drawn_in_order():
    report = Report(
        "diff",
        title="title",
        facts=(("a", "1"), ("long", "2")),
        legend="(legend)",
        rows=(Row("+", subject="x", detail="float32[2]"),),
        omitted="… 3 more lines",
        summary=("Done.",),
    )
    assert "title\n  a     1\n  long  2\n(legend)\n+ x  float32[2]\n  … 3 more lines\nDone.\n" == draw(report)


def test_an_empty_report_is_empty():
    assert "" == draw(Report("diff"))


@pytest.mark.parametrize(("length", "lines"), [(28, 1), (29, 2)])
def test_a_target_goes_to_a_second_line_when_both_paths_are_too_long_for_one(length, lines):
    row = Row(">", "rename", "s" * 29, "t" * length)
    assert lines == len(draw(Report("apply", rows=(row,))).splitlines())


def test_columns_are_aligned_and_a_long_path_does_not_widen_the_others():
    rows = (Row("=", "keep", "a" * 80, detail="x"), Row("=", "keep", "b", detail="y", mode="relink", place="r.yaml:1"))
    first, second = draw(Report("apply", rows=rows)).splitlines()
    assert f"  =  keep  {'a' * 80}  x" == first
    assert f"  =  keep  {'b'.ljust(72)}  y  relink  r.yaml:1" == second


def test_styles_are_applied_to_symbols_titles_and_places():
    row = Row("-", "drop", "a", place="r.yaml:1")
    drawn = draw(Report("apply", title="t", rows=(row,)), lambda text, style: f"<{style}>{text}</>")
    assert "<strong>t</>" in drawn
    assert "<gone>  -  drop  </>a" in drawn
    assert "<faint>r.yaml:1</>" in drawn
