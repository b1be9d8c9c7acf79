"""Shares that are staged by processes which never meet, and the commit of them.

Covers `sharing.finished_shares` and `sharing.merging` too.
"""

import shutil

import pytest

from migrate.engine.options import ApplyOptions
from migrate.engine.sharing.finished_shares import FinishedShares
from migrate.engine.sharing.one_share import stage_one
from migrate.engine.streaming.stopping import never
from migrate.engine.workspace import lock
from migrate.engine.workspace.attempts import attempts
from migrate.errors import MigrateError, RefusedError, StoppedError, VerifyError
from migrate.events import LeafDone, ignore
from tests.engine.sharing.shared_runs import RULES, STREAMED, After, applied, same, values, workspace
from tests.engine.sources import opened, plan_for
from tests.engine.verification.conftest import change

COMMAND = "migrate stage rules.yaml old new"


def staged(source, target, number, count, *, stopped=never, listener=ignore, rules=RULES, **options):
    with opened(source) as reader:
        how = {"listener": listener, "stopped": stopped}
        return stage_one(plan_for(reader, rules), reader, target, ApplyOptions(**options), number, count, **how)


def committed(source, target, **options):
    return applied(source, target, FinishedShares(COMMAND), **options)


@pytest.mark.parametrize("count", [1, 3, len(STREAMED) + 1])
def test_shares_that_never_meet_make_the_same_checkpoint(source, alone, count, tmp_path):
    found = [staged(source, tmp_path / "new", number, count) for number in reversed(range(count))]
    assert len(STREAMED) == sum(len(one.arrays) for one in found)
    receipt = committed(source, tmp_path / "new")
    assert alone[0].leaf_digests == receipt.leaf_digests
    assert alone[0].verified_leaves == receipt.verified_leaves
    same(alone[1], values(tmp_path / "new"))
    assert ["new"] == [child.name for child in tmp_path.iterdir()]
    assert staged(source, tmp_path / "new", 0, count) is None


@pytest.mark.parametrize("verify", ["digest", "decode"])
def test_a_commit_counts_what_the_shares_compared(recorded, tmp_path, verify):
    alone = applied(recorded, tmp_path / "alone", verify=verify)
    for number in range(2):
        staged(recorded, tmp_path / "new", number, 2, verify=verify)
    receipt = committed(recorded, tmp_path / "new", verify=verify)
    assert len(STREAMED) < alone.inputs == receipt.inputs
    assert "source" not in receipt.seconds


def test_a_share_with_a_changed_leaf_is_refused_and_not_committed(recorded, tmp_path):
    change(recorded, "turned.5")
    outcomes = []
    for number in range(2):
        try:
            staged(recorded, tmp_path / "new", number, 2)
        except VerifyError as error:
            outcomes.append(error.diagnostics[0])
    assert [("M516", ("turned/5",))] == [(found.code, found.paths) for found in outcomes]
    with pytest.raises(StoppedError, match="1 of 2 shares are not staged"):
        committed(recorded, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_commit_compares_what_shares_without_verification_staged(recorded, tmp_path):
    change(recorded, "turned.5")
    for number in range(2):
        staged(recorded, tmp_path / "new", number, 2, verify="none")
    with pytest.raises(VerifyError, match="has changed since") as failure:
        committed(recorded, tmp_path / "new")
    assert ("turned/5",) == failure.value.diagnostics[0].paths
    assert not (tmp_path / "new").exists()


def test_missing_shares_are_named_with_the_command_that_stages_one(source, alone, tmp_path):
    for number in (0, 2):
        staged(source, tmp_path / "new", number, 4)
    with pytest.raises(StoppedError) as refusal:
        committed(source, tmp_path / "new")
    found = refusal.value.diagnostics[0]
    assert "M554" == found.code
    assert "2 of 4 shares are not staged: 1/4, 3/4; nothing was published" == found.message
    assert f"`{COMMAND} --share 1/4`, then the same `commit` again" == found.help
    for number in (1, 3):
        staged(source, tmp_path / "new", number, 4)
    committed(source, tmp_path / "new")
    same(alone[1], values(tmp_path / "new"))


def test_a_commit_without_any_share_is_refused(source, tmp_path):
    with pytest.raises(StoppedError, match="no share of this plan is staged beside"):
        committed(source, tmp_path / "new")
    assert [] == list(tmp_path.iterdir())


def test_a_share_is_staged_once(source, tmp_path):
    first = staged(source, tmp_path / "new", 1, 3)
    again = staged(source, tmp_path / "new", 1, 3)
    assert (0, len(first.arrays)) == (first.earlier, again.earlier)
    assert first.arrays == again.arrays
    assert 1 == len(attempts(workspace(source, tmp_path / "new").path))


def test_a_share_that_was_stopped_is_resumed(source, alone, tmp_path):
    with pytest.raises(StoppedError, match=r"Stopped at \d+/15 arrays of the share"):
        staged(source, tmp_path / "new", 0, 1, stopped=After(6), jobs=1)
    heard = []
    found = staged(source, tmp_path / "new", 0, 1, listener=heard.append)
    assert 0 < found.earlier < len(STREAMED)
    assert len(STREAMED) - found.earlier == sum(isinstance(event, LeafDone) for event in heard)
    committed(source, tmp_path / "new")
    same(alone[1], values(tmp_path / "new"))


def test_a_share_whose_database_is_lost_is_missing(source, tmp_path):
    staged(source, tmp_path / "new", 0, 2)
    staged(source, tmp_path / "new", 1, 2)
    work = workspace(source, tmp_path / "new")
    (attempt,) = (one for one in attempts(work.path) if one.share == 1)
    shutil.rmtree(work.store("") / attempt.folder)
    with pytest.raises(StoppedError, match="1 of 2 shares are not staged: 1/2;"):
        committed(source, tmp_path / "new")


def test_apply_stages_what_is_missing_itself(source, alone, tmp_path):
    first = staged(source, tmp_path / "new", 0, 3)
    receipt = applied(source, tmp_path / "new")
    assert len(first.arrays) == receipt.resumed
    same(alone[1], values(tmp_path / "new"))


def test_arrays_that_two_attempts_staged_are_joined_once(source, alone, tmp_path):
    staged(source, tmp_path / "new", 0, 1)
    staged(source, tmp_path / "new", 1, 2)
    committed(source, tmp_path / "new")
    same(alone[1], values(tmp_path / "new"))


def test_what_a_killed_attempt_left_does_not_get_into_the_result(source, alone, tmp_path):
    staged(source, tmp_path / "new", 0, 1)
    work = workspace(source, tmp_path / "new")
    (attempt,) = attempts(work.path)
    (work.store("") / attempt.folder / "d" / "0123456789abcdef0123456789abcdef").write_bytes(b"not committed")
    (work.store("") / attempt.folder / "manifest.ocdbt.__lock").write_bytes(b"half")
    (work.store("") / "ocdbt.process_7_abcdef" / "d").mkdir(parents=True)
    committed(source, tmp_path / "new")
    same(alone[1], values(tmp_path / "new"))
    names = {path.name for path in (tmp_path / "new").rglob("*")}
    unwanted = {"0123456789abcdef0123456789abcdef", "manifest.ocdbt.__lock", "ocdbt.process_7_abcdef"}
    assert set() == names & unwanted


def test_a_share_waits_for_no_run_that_writes(source, tmp_path):
    work = workspace(source, tmp_path / "new")
    work.path.mkdir()
    lock.take(work.path)
    with pytest.raises(RefusedError) as refusal:
        staged(source, tmp_path / "new", 0, 2)
    assert "M509" == refusal.value.diagnostics[0].code


def test_the_journal_of_an_attempt_that_staged_nothing_is_removed(source, tmp_path):
    rules = "rules: [{from: 'turned/0', to: a, ops: [{cast: float16}]}]"
    with pytest.raises(MigrateError, match="would change"):
        staged(source, tmp_path / "new", 0, 1, rules=rules)
    work = workspace(source, tmp_path / "new", rules)
    assert [] == [one for one in attempts(work.path) if not one.journal.read_bytes().count(b"\n") > 1]
