"""Refactors of public models: nothing is wrong without a mark, and nearly all of it is right."""

import pytest

from tests.planning.suggest.refactors import Score, refactors, score

pytestmark = pytest.mark.skipif(not refactors(), reason="the refactors are not on this machine")

MOST_FLAGGED = 0.31
"""The largest share of right leaves with a mark: two attentions and three norms of a block are truly open."""


def test_nearly_every_leaf_is_right_and_none_is_wrong_without_a_mark():
    total = Score()
    for file in refactors():
        total.add(score(file)[0])
    assert () == total.silent
    assert total.right + total.alternative >= 0.97 * total.leaves
    assert total.flagged <= MOST_FLAGGED * total.right


@pytest.mark.parametrize("file", refactors(), ids=lambda file: file.stem)
def test_what_is_listed_as_not_placed_is_all_that_the_plan_lacks(file):
    suggestion = score(file)[1]
    filled = {path for task in suggestion.plan.tasks for path in task.targets}
    assert set() == filled & set(suggestion.unplaced_targets)
    assert {finding.code for finding in suggestion.plan.diagnostics if finding.severity == "error"} <= {"M204", "M205"}
