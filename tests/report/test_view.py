import pytest

from migrate.codes import IdlePattern, UnfilledTarget
from migrate.errors import ExitCode, Span
from migrate.report.view import DeferredData, Excerpt, Report, findings, no_text

TEXT = "rules:\n  - a -> b\n\t- c -> d\n"


def excerpt(span):
    return findings([IdlePattern.at("x", span=span)], lambda _: TEXT)[0].excerpt


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span("r.yaml", 2, 5, 2, 6), Excerpt(2, "  - a -> b", 5, 1)),
        (Span("r.yaml", 2, 5, 3, 4), Excerpt(2, "  - a -> b", 5, 6)),
        (Span("r.yaml", 2, 5, 2, 5), Excerpt(2, "  - a -> b", 5, 1)),
        (Span("r.yaml", 3, 4, 3, 5), Excerpt(3, " - c -> d", 4, 1)),
        (Span("r.yaml", 4, 1, 4, 2), None),
        (Span("r.yaml", 0, 1, 0, 2), None),
        (None, None),
    ],
)
def test_an_excerpt_is_the_first_line_of_the_span(span, expected):
    assert expected == excerpt(span)


def test_without_the_text_there_is_no_excerpt():
    assert findings([IdlePattern.at("x", span=Span("r.yaml", 1, 1, 1, 2))], no_text)[0].excerpt is None


def test_findings_keep_their_order_and_lose_duplicates():
    one, other = IdlePattern.at("one"), UnfilledTarget.at("other", paths=["a"])
    assert ["one", "other"] == [finding.message for finding in findings([one, other, one])]


def test_a_report_is_ok_only_with_exit_code_0():
    assert [True, False, False] == [Report("x", code).ok for code in (ExitCode.OK, ExitCode.NO, ExitCode.STOPPED)]


def test_deferred_data_are_made_once_and_only_for_what_is_not_known():
    made = []
    data = DeferredData(lambda: made.append("made") or {"a": 1, "b": 2}, {"b": 3, "c": 4})

    assert (3, []) == (data["b"], made)
    assert {"a": 1, "b": 3, "c": 4} == data
    assert (["a", "b", "c"], 3, ["made"]) == (list(data), len(data), made)
