"""The lock of a working directory in a bucket."""

import json
import time
from dataclasses import asdict

import pytest

from migrate.engine.workspace import bucket_lock
from migrate.engine.workspace.bucket_lock import held
from migrate.errors import RefusedError, StoppedError
from migrate.places.writable_path import WritableBucketPath


@pytest.fixture
def folder(bucket, monkeypatch):
    monkeypatch.setattr(bucket_lock, "LEASE_SECONDS", 1.5)
    monkeypatch.setattr(bucket_lock, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(bucket_lock, "_WATCH_SECONDS", 0.1)
    return WritableBucketPath(f"{bucket.url}/.new.migrate-0")


def test_a_lock_is_held_by_one(folder):
    with held(folder) as lock:
        with pytest.raises(RefusedError, match="renews its lock"), held(folder):
            pass
        lock.require()
        assert None is lock.note
    assert None is (folder / "LOCK").read_new()


def test_a_lock_is_renewed(folder):
    with held(folder):
        before, end = (folder / "LOCK").read_new(), time.monotonic() + 30
        while (folder / "LOCK").read_new()[1] == before[1]:
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.parametrize("content", [b'{"host": "elsewhere", "pid": 7, "started": ""}', b"", b"[]"])
def test_a_lock_that_is_not_renewed_is_taken_over(folder, content, monkeypatch):
    monkeypatch.setattr(bucket_lock, "LEASE_SECONDS", 0.3)
    (folder / "LOCK").write_bytes(content)
    with held(folder) as lock:
        assert "was taken over" in lock.note.message


def test_the_lock_of_a_dead_process_of_this_machine_is_taken_at_once(folder, monkeypatch):
    monkeypatch.setattr(bucket_lock, "LEASE_SECONDS", 60)
    holder = {**asdict(bucket_lock.myself()), "pid": 99_999_999}
    (folder / "LOCK").write_text(json.dumps(holder))
    with held(folder) as lock:
        assert "process 99999999" in lock.note.message


def test_a_lock_that_was_taken_stays(folder):
    with held(folder) as lock:
        (folder / "LOCK").write_bytes(b'{"run": "other"}')
        with pytest.raises(StoppedError, match="took over the lock"):
            lock.require()
    assert b'{"run": "other"}' == (folder / "LOCK").read_new()[0]


def test_a_renewal_without_an_answer_is_recognized(folder):
    with held(folder) as lock:
        found = (folder / "LOCK").read_new()[0]
        (folder / "LOCK").write_bytes(found + b" ")  # another generation of the same run
        lock.require()
