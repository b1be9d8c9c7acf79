"""Quoted reports print no character that acts on a terminal; the caret of a finding stays below its text."""

import pytest

from migrate.errors import Span
from migrate.report.quoting import quote, quote_finding, quote_report
from migrate.report.view import Excerpt, Finding, Report, Row


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("params/Dense_0/kernel", "params/Dense_0/kernel"),
        ("größe/層", "größe/層"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\nerror[M999]: b", r"a\nerror[M999]: b"),
        ("a\u202eb", r"a\u202eb"),
        ("::set-env name=A::b", r"\x3a:set-env name=A::b"),
        ("std::vector", "std::vector"),
    ],
)
def test_only_what_acts_on_a_terminal_or_a_runner_is_escaped(text, shown):
    assert shown == quote(text)


def test_every_text_of_a_report_is_quoted_but_its_data():
    row = Row("=", "keep", "a\x07", "b\x07", "c\x07", "d\x07", "e\x07")
    report = Report("diff", title="t\r", facts=(("k\r", "v\r"),), rows=(row,), summary=("s\r",), data={"x": "\x07"})
    quoted = quote_report(report)
    assert (r"t\r", ((r"k\r", r"v\r"),), (r"s\r",)) == (quoted.title, quoted.facts, quoted.summary)
    assert (r"a\x07", r"b\x07", r"c\x07") == (quoted.rows[0].subject, quoted.rows[0].target, quoted.rows[0].detail)
    assert {"x": "\x07"} == quoted.data


def test_the_caret_stays_below_the_quoted_text():
    finding = Finding("M201", "error", "m", Span("r.yaml", 1, 3, 1, 5), Excerpt(1, "\x07 ab\x07", 3, 2), None, (), None)
    excerpt = quote_finding(finding).excerpt
    assert "ab" == excerpt.text[excerpt.column - 1 : excerpt.column - 1 + excerpt.width]
