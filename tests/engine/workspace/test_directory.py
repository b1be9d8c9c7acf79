"""The working directory: what survives which end of a run."""

import pytest

from migrate.codes import DestinationExists, VerificationFailed, WriteFailed
from migrate.engine.workspace import lock
from migrate.engine.workspace.directory import (
    Workspace,
    clear_needless,
    is_unfinished,
    open_workspace,
    workspace_path,
)
from migrate.engine.workspace.journal import Journal
from migrate.errors import MigrateError, PlanError, RefusedError, StoppedError, VerifyError
from tests.engine.workspace.test_journal import array

PLAN = "sha256:0123456789abcdef"


def stage_something(work):
    with Journal(work.journal, {}) as journal:
        journal.record(("a",), array("a"))
    work.staged.mkdir(exist_ok=True)
    (work.staged / "data").write_text("bytes")


def ended(destination, error=None):
    """A run that stages something and then ends, well or with an error."""
    try:
        with open_workspace(destination, PLAN) as work:
            stage_something(work)
            work.result.mkdir()
            if error:
                raise error
    except BaseException as raised:
        if raised is not error:
            raise
    return workspace_path(destination, PLAN)


def test_it_lies_beside_dst_and_carries_the_plans_digest(tmp_path):
    assert tmp_path / ".new.migrate-0123456789ab" == workspace_path(tmp_path / "new", PLAN)


@pytest.mark.parametrize(
    "error",
    [
        None,
        RefusedError(DestinationExists.at("no")),
        PlanError(DestinationExists.at("no")),
        VerifyError(VerificationFailed.at("no")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_nothing_is_left_after_success_and_after_what_would_come_again(tmp_path, error):
    assert not ended(tmp_path / "new", error).exists()


@pytest.mark.parametrize(
    "error",
    [StoppedError(WriteFailed.at("no")), MigrateError(WriteFailed.at("no")), RuntimeError(), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_what_is_staged_stays_when_the_same_command_can_go_on(tmp_path, error):
    path = ended(tmp_path / "new", error)
    assert is_unfinished(tmp_path / "new", PLAN)
    assert not (path / lock.NAME).exists()
    with open_workspace(tmp_path / "new", PLAN) as work:
        assert ["LOCK", "journal.jsonl", "staged"] == sorted(child.name for child in work.path.iterdir())


def test_nothing_stays_where_nothing_was_staged(tmp_path):
    def begun_and_failed():
        with open_workspace(tmp_path / "new", PLAN) as work, Journal(work.journal, {}):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        begun_and_failed()
    assert [] == list(tmp_path.iterdir())
    assert not is_unfinished(tmp_path / "new", PLAN)


def test_two_runs_of_one_plan_do_not_meet(tmp_path):
    with open_workspace(tmp_path / "new", PLAN) as work:
        stage_something(work)
        with pytest.raises(RefusedError) as refusal, open_workspace(tmp_path / "new", PLAN):
            pass
        assert work.staged.exists()
    assert ["M509"] == [d.code for d in refusal.value.diagnostics]


def test_what_other_plans_left_is_mentioned_and_kept(tmp_path):
    other = tmp_path / ".new.migrate-ffffffffffff"
    other.mkdir()
    (other / "data").write_bytes(bytes(3 << 20))
    (tmp_path / ".other.migrate-ffffffffffff").mkdir()
    with open_workspace(tmp_path / "new", PLAN) as work:
        (note,) = work.notes
    assert f"`{other}` was left by a run of another plan: 3.0 MiB" == note.message
    assert (other / "data").exists()


def test_a_destination_that_a_kill_had_set_aside_comes_back(tmp_path):
    work = Workspace(workspace_path(tmp_path / "new", PLAN))
    work.replaced.mkdir(parents=True)
    (work.replaced / "old").touch()
    with open_workspace(tmp_path / "new", PLAN):
        assert (tmp_path / "new" / "old").exists()
    assert ["new"] == [child.name for child in tmp_path.iterdir()]


def test_it_can_be_beside_another_path_than_dst(tmp_path):
    (tmp_path / "7").mkdir()
    destination, beside = tmp_path / "7" / "new", tmp_path / "7.new"
    with open_workspace(destination, PLAN, beside=beside) as work:
        assert tmp_path / ".7.new.migrate-0123456789ab" == work.path
        assert ["7", work.path.name] == sorted(path.name for path in tmp_path.iterdir())[::-1]
    workspace_path(beside, PLAN).mkdir()
    clear_needless(destination, beside)
    assert [tmp_path / "7"] == list(tmp_path.iterdir())
