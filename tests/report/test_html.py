from migrate.codes import IdlePattern
from migrate.report.html import draw
from migrate.report.view import Report, Row, findings

EVIL = "<script>alert('x')</script>"


def test_nothing_that_comes_from_a_checkpoint_becomes_markup():
    report = Report(
        "inspect",
        title=EVIL,
        facts=((EVIL, EVIL),),
        rows=(Row("-", "drop", EVIL, EVIL, EVIL, EVIL, EVIL),),
        omitted=EVIL,
        summary=(EVIL,),
        findings=findings([IdlePattern.at(EVIL, paths=[EVIL])]),
        data={"leaves": [{"path": EVIL, "shape": [1, 2]}]},
    )
    page = draw(report)
    assert "<script" not in page
    assert 14 == page.count("&lt;script&gt;")


def test_a_page_needs_nothing_else():
    page = draw(Report("inspect", title="x"))
    assert "://" not in page
    assert "src=" not in page


def test_a_section_without_the_picture_has_the_values_as_a_table():
    report = Report("apply", values=lambda: (("leaves", "min"), ("a", EVIL)))
    page = draw(report)
    assert "<summary>Values before and after</summary>" in page
    assert f"<td>{EVIL}" not in page
    assert "Values before" not in draw(Report("apply", values=lambda: (("leaves", "min"),)))
