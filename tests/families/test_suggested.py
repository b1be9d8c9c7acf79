"""Suggestions for the families without their bundled files: every leaf is right, or in doubt with what is right."""

import pytest

from tests.families import golden
from tests.families.suggested import PAGE, rows, scored, total, updated
from tests.matrix import sampled

BAR = 0.95
"""The least share of all leaves that are right as written."""

KEPT = golden.read()


@pytest.mark.parametrize("kept", sampled(KEPT, 9, lambda kept: kept.row.name))
def test_a_suggestion_does_what_the_bundled_file_does_or_says_what_may_be_otherwise(kept, tmp_path):
    found, suggestion, plan = scored(kept, tmp_path)
    assert ((), 0) == (found.wrong, found.unplaced)
    created = {one.target for one in plan.created if one.leaf.has_data}  # leaves that no source has are listed
    assert ((), created) == (suggestion.unplaced_sources, set(suggestion.unplaced_targets))
    assert suggestion.plan.applicable is not bool(created)


def test_nearly_all_leaves_of_all_families_are_right_as_the_page_says():
    lines, scores = zip(*rows(), strict=True)
    text = PAGE.read_text(encoding="utf-8")
    print(*lines, total(scores), sep="")
    assert updated(text, [*lines, total(scores)]) == text
    assert sum(one.right + one.doubted for one in scores) >= BAR * sum(one.leaves for one in scores)
    assert [] == [one for one in scores if one.wrong or one.unplaced]
