"""The report of a suggestion; `tests/cli/test_suggest.py` covers it through the command line."""

import pytest

from migrate.errors import ExitCode
from migrate.report import text
from migrate.report.of_suggestion import suggestion_report
from tests.planning.suggest.trees import suggested

LAYERS = {f"params/Dense_{i}/kernel": (4, 4) for i in range(3)}
TARGET = {f"layers/{i}/kernel": (4, 4) for i in range(3)}


def report(source, target, output="rules.yaml"):
    return suggestion_report(suggested(source, target), "my old", output)


def test_a_leaf_that_is_not_placed_is_a_row_and_makes_the_answer_no():
    found = report({"params/a/kernel": (4, 6), "params/b/odd": (9,)}, {"a/kernel": (4, 6)})
    assert ExitCode.NO == found.exit_code
    assert [("-", "params/b/odd", "float32[9]")] == [(row.symbol, row.subject, row.detail) for row in found.rows]
    assert "(not placed: - in the source, + in the target)" == found.legend
    assert "Not placed: 1 leaf." in found.summary[0]
    assert found.summary[-1].startswith("Next: write rules for the leaves that are not placed, then run `")
    assert {"source": ["params/b/odd"], "target": []} == found.data["unplaced"]


def test_a_target_that_is_not_placed_has_a_plus():
    found = report({"params/a/kernel": (4, 6)}, {"a/kernel": (4, 6), "b/odd": (9,)})
    assert [("+", "b/odd")] == [(row.symbol, row.subject) for row in found.rows]


def test_a_draft_without_doubts_needs_no_review_of_them():
    found = report({"params/a/kernel": (4, 6)}, {"a/kernel": (4, 6)})
    assert ExitCode.OK == found.exit_code
    assert "" == found.legend
    assert "Next: `migrate check rules.yaml 'my old'`" == found.summary[-1]
    assert "1 rule. Every leaf is placed.\n" in text.draw(found)


def test_doubts_are_counted_and_their_alternatives_listed():
    found = report(LAYERS, TARGET, "my rules.yaml")
    assert "Unproved: 3 source leaves." in found.summary[0]
    assert (
        "Next: review the rules marked `unproved`, or settle them with `--probe M:F`; "
        "then run `migrate check 'my rules.yaml' 'my old'`" == found.summary[1]
    )
    task = next(task for task in found.data["tasks"] if task["targets"] == ["layers/0/kernel"])
    assert {"layers/1/kernel", "layers/2/kernel"} == {other["target"] for other in task["alternatives"]}


@pytest.mark.parametrize(("number", "listed"), [(4, 3), (40, 20)])
def test_alternatives_of_equal_shape_are_listed_up_to_twenty(number, listed):
    source = {f"params/hidden_{i}/kernel": (4, 4) for i in range(number)}
    target = {f"hidden/{i}/kernel": (4, 4) for i in range(number)}
    assert {listed} == {len(task["alternatives"]) for task in report(source, target).data["tasks"]}
