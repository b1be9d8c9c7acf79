"""The working directory of a DST in a bucket; covers `workspace.any_place`."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from migrate.engine.staged_array import StagedArray
from migrate.engine.workspace import any_place
from migrate.engine.workspace.journal import BucketJournal, open_journal, read_journal
from migrate.errors import RefusedError, StoppedError
from migrate.places.writable_path import WritableBucketPath

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture
def place(bucket):
    return WritableBucketPath(f"{bucket.url}/new")


def test_a_run_that_staged_nothing_leaves_nothing(place, bucket):
    with suppress(KeyError), any_place.open_workspace(place, DIGEST) as work:
        (work.store("") / "d").write_bytes(b"")
        assert place == work.result
        raise KeyError
    assert [] == bucket.keys()


def test_dst_is_published_by_its_marker(place, bucket):
    with any_place.open_workspace(place, DIGEST) as work:
        (place / "x").write_bytes(b"")
        assert not any_place.is_there(place)
        any_place.publish(work, place, overwrite=False)
    assert ["new/commit_success.txt", "new/x"] == bucket.keys()
    assert any_place.is_there(place)


def test_a_dst_that_was_completed_meanwhile_is_kept(place, bucket):
    with any_place.open_workspace(place, DIGEST) as work:
        (place / "commit_success.txt").write_text("other")
        with pytest.raises(StoppedError, match="was completed"):
            any_place.publish(work, place, overwrite=False)


def test_a_run_of_another_plan_is_refused(place, bucket):
    with any_place.open_workspace(place, DIGEST):
        with pytest.raises(RefusedError, match="another plan"), any_place.open_workspace(place, OTHER):
            pass
        assert [f".new.migrate-{'a' * 12}/LOCK", "new/migrate_unfinished"] == bucket.keys()


def test_a_journal_is_read_as_it_was_written(place, monkeypatch):
    from migrate.engine.workspace import journal

    monkeypatch.setattr(journal, "PART_SECONDS", 0.0)
    record = StagedArray("a", (2,), np.dtype("float32"), (2,), (2,), None, "xxh3:0", None)
    arrays = {("a", str(n)): replace(record, name=f"a.{n}") for n in range(3)}
    for part in (list(arrays)[:2], list(arrays)[2:]):
        with open_journal(place / "journal", {"x": 1}) as opened:
            assert isinstance(opened, BucketJournal)
            for path in part:
                opened.record(path, arrays[path])
    (place / "journal").refresh()
    assert arrays == read_journal(place / "journal", {"x": 1})
    assert None is read_journal(place / "journal", {"x": 2})
    assert None is read_journal(place / "none", {})
