"""A staged share in words and as data."""

import pytest

from migrate.engine.sharing.staging import StagedShare
from migrate.engine.workspace.attempts import Attempt
from migrate.engine.workspace.resume import SharedArray
from migrate.report.of_share import share_report
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree
from tests.engine.workspace.test_journal import array


class Plan:
    """The part of a plan that the report needs."""

    digest = "sha256:0123456789abcdef"
    target = AbstractTree.build([((name,), AbstractLeaf("array", AbstractArray((256,), "float32"))) for name in "ab"])


def staged(tmp_path, *names, earlier=0):
    attempt = Attempt(tmp_path, "3_abcdef")
    return StagedShare(3, {(name,): SharedArray(attempt, array(name)) for name in names}, earlier)


@pytest.mark.parametrize(
    ("names", "earlier", "sentence"),
    [
        ("a", 0, "Staged share 3/16 of plan 0123456789ab: 1 array, 1 KiB. "),
        ("ab", 1, "Staged share 3/16 of plan 0123456789ab: 2 arrays, 1 of them before, 2 KiB. "),
    ],
)
def test_a_share_is_reported_with_its_arrays_and_the_next_command(tmp_path, names, earlier, sentence):
    report = share_report(Plan, "new", staged(tmp_path, *names, earlier=earlier), (3, 16))
    assert (f"{sentence}`migrate commit` publishes new once all shares are staged.",) == report.summary
    assert (len(names), earlier) == (report.data["arrays"], report.data["resumed"])


def test_a_checkpoint_that_is_finished_needs_no_share():
    report = share_report(Plan, "new", None, (3, 16))
    assert ("Already done: new is the result of this plan.",) == report.summary
    assert report.data["already_done"]
