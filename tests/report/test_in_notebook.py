from migrate.report.html import draw_fragment
from migrate.report.in_notebook import draw_value
from migrate.report.view import Report, Row
from tests.report.vit import plan

EVIL = "<script>alert('x')</script>"


def test_a_plan_is_drawn_with_its_rows():
    html = draw_value(plan())
    assert "params/Transformer/encoder_norm/scale\n→ params/norm/scale" in html
    assert "-v" not in html


def test_an_inapplicable_plan_shows_its_errors():
    assert "is never written" in draw_value(plan(covered=False))


def test_values_of_other_types_are_not_drawn():
    assert draw_value("plan") is None


def test_markup_is_text_and_advice_for_the_command_line_is_left_out():
    omitted = "… 9 more lines (-v shows all)"
    html = draw_fragment(Report("diff", title=EVIL, rows=(Row("-", "", EVIL),), omitted=omitted, summary=(EVIL,)))
    assert "<script" not in html
    assert 3 == html.count("&lt;script&gt;")
    assert '<p class="faint">… 9 more lines</p>' in html
