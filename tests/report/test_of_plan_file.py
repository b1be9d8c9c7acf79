"""The report of a plan file leaves out what depends on the checkpoint."""

from migrate.planning.plan_file.write import plan_text
from migrate.report.of_plan_file import plan_file_report, plan_file_sentences
from migrate.report.text import draw
from tests.planning.plan_file.plans import read, small


def reported(*arguments, **fields):
    return plan_file_report(read(plan_text(small(*arguments, **fields))))


def test_rows_have_no_mode_and_no_sentence_tells_what_is_read():
    report = reported()
    assert {""} == {row.mode for row in report.rows}
    assert not any("Reads" in sentence or "peak" in sentence for sentence in report.summary)
    assert "by name" in draw(report)


def test_json_items_are_kept_or_dropped():
    report = reported("- drop: config", {"a": "2"}, extras={"config": {}, "metrics": {}})
    assert "JSON items: config dropped, metrics kept." in report.summary
    assert not any("DST is" in sentence for sentence in report.summary)


def test_code_that_is_run_is_named():
    rules = "rules:\n- {from: a, to: b, ops: [{call: {function: 'f:g'}}]}\n- {create: {to: c, init: template}}"
    plan = small(rules, {"a": "2"}, {"b": "2", "c": "3"})
    assert [
        "The model initializes 1 leaf: applying this plan runs `tests:template`, or the callable of `--template`.",
        "Applying this plan runs `f:g`.",
        "`migrate apply p.json SRC DST` carries it out on every SRC of this structure.",
    ] == [*plan_file_sentences(plan, "p.json")]
    assert [] == [*plan_file_sentences(small(), None)]
