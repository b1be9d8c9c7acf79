"""Attempts at shares: their names are unique, and their files belong together."""

import os
import subprocess
import sys

import pytest

from migrate.engine.workspace.attempts import attempts, new_attempt
from migrate.engine.workspace.directory import Workspace, clear_needless, open_workspace, workspace_path
from migrate.errors import StoppedError
from tests.engine.workspace.test_journal import array

ORIGIN = {"plan": "sha256:1"}

ABANDONED = """
import sys
from pathlib import Path
from migrate.engine.workspace.attempts import new_attempt
new_attempt(Path(sys.argv[1]), 0).begin({}, 1)
"""


def begun(work, share, *names):
    """An attempt that made arrays durable, with a file in its database."""
    attempt = new_attempt(work, share)
    with attempt.begin(ORIGIN, 4) as journal:
        for name in names:
            journal.record((name,), array(name))
    database = Workspace(work).store("") / attempt.folder
    database.mkdir(parents=True)
    (database / "manifest.ocdbt").touch()
    return attempt


def test_no_two_attempts_at_a_share_have_one_name(tmp_path):
    assert 100 == len({new_attempt(tmp_path, 3).name for _ in range(100)})


def test_attempts_are_listed_the_oldest_first(tmp_path):
    made = [begun(tmp_path, share) for share in (2, 0, 1)]
    for age, attempt in enumerate(made):
        os.utime(attempt.journal, ns=(age, age))
    assert made == attempts(tmp_path)
    assert [2, 0, 1] == [attempt.share for attempt in attempts(tmp_path)]
    assert {4} == {attempt.shares for attempt in attempts(tmp_path)}


def test_there_are_no_attempts_without_a_directory(tmp_path):
    assert [] == attempts(tmp_path / "none")


def test_an_attempt_of_this_process_may_run_and_one_of_a_dead_process_does_not(tmp_path):
    assert begun(tmp_path, 0).may_run
    (tmp_path / "other").mkdir()
    subprocess.run([sys.executable, "-c", ABANDONED, tmp_path / "other"], check=True)
    assert [False] == [attempt.may_run for attempt in attempts(tmp_path / "other")]


def test_a_new_start_keeps_the_attempts_that_are_named_and_nothing_else(tmp_path):
    work = Workspace(tmp_path)
    kept, lost = begun(tmp_path, 0, "a"), begun(tmp_path, 1, "b")
    (work.store("") / "manifest.ocdbt").touch()
    work.journal.touch()
    work.start_over([kept])
    assert [kept] == attempts(tmp_path)
    assert [kept.folder] == os.listdir(work.store(""))
    assert not lost.journal.exists()
    work.start_over()
    assert ([], False) == (attempts(tmp_path), work.staged.exists())


@pytest.mark.parametrize(("names", "stays"), [((), False), (("a",), True)])
def test_a_working_directory_stays_if_a_dead_share_staged_anything(tmp_path, names, stays):
    place = workspace_path(tmp_path / "new", "sha256:" + "0" * 12)
    attempt = begun(place, 0, *names)
    content = attempt.journal.read_text()
    attempt.journal.write_text(content.replace(f'"pid":{os.getpid()}', '"pid":999999999'))
    clear_needless(tmp_path / "new")
    assert stays == place.exists()


def test_a_failed_commit_leaves_the_shares_that_still_run(tmp_path):
    place = workspace_path(tmp_path / "new", "sha256:" + "0" * 12)
    attempt = begun(place, 0)
    with pytest.raises(StoppedError), open_workspace(tmp_path / "new", "sha256:" + "0" * 12):
        raise StoppedError
    clear_needless(tmp_path / "new")
    assert [attempt] == attempts(place)
