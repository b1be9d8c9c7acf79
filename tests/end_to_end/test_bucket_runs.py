"""Runs with DST in a bucket that are killed, that meet each other, or that lose their lock."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from itertools import product

import numpy as np
import pytest

import migrate
from migrate.engine.workspace import bucket_lock
from migrate.errors import MigrateError, RefusedError, StoppedError
from migrate.events import PhaseDone
from tests.buckets.traffic import Fault
from tests.end_to_end.test_bucket_destinations import layers, require_clean
from tests.end_to_end.test_buckets import migrated, rules_file, same_values
from tests.engine.sources import save

RULES = """rules:
- {from: 'layers/{i}/w', to: layers/w, ops: [{stack: {axis: 0, over: i}}]}
- {from: 'turned/{i}', to: 'turned/{i}', ops: [{transpose: [1, 0]}]}"""

MOMENTS = {
    "nothing was staged": ("LOCK", 0),
    "DST was marked": ("migrate_unfinished", 0),
    "the journal was begun": ("journal/00000001", 0),
    "an array was staged": ("new/d/", 1),
    "the index was written": ("new/manifest.ocdbt", 0),
    "arrays were linked": ("new/manifest.ocdbt", 1),
    "a file was copied": ("process_source_0/", 0),
    "metadata were written": ("new/_METADATA", 0),
    "digests were recorded": ("migrate_digests.json", 0),
    "DST was not published": ("new/commit_success.txt", 0),
}
"""The put of which a run is killed: a part of its key, and the number of such puts before it."""


def tree():
    random = np.random.default_rng(1)
    return {**layers(), "turned": [random.random((400, 300)).astype(np.float32) for _ in range(3)]}


def start(*words):
    command = [sys.executable, "-m", "migrate", "apply", *map(str, words)]
    env = {**os.environ, "PYTHONPATH": os.getcwd(), "JAX_PLATFORMS": "cpu", "NO_COLOR": "1"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def killed_during(bucket, process, *faults):
    """Kills a run while the server holds back its answer."""
    bucket.traffic.faults += faults
    end = time.monotonic() + 120
    while not bucket.traffic.made and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    output = process.communicate()[0]
    assert bucket.traffic.made, output
    bucket.traffic.faults.clear()


@pytest.mark.sample(10)
@pytest.mark.parametrize(("scheme", "moment"), [*product(["gs"], MOMENTS), ("s3", "arrays were linked")])
def test_a_killed_run_is_finished_by_the_same_command(bucket_servers, tmp_path, scheme, moment):
    bucket = bucket_servers.bucket(scheme)
    rules = rules_file(tmp_path, RULES)
    words = (rules, bucket.upload(save(tmp_path / "old", tree()), "old"), f"{bucket.url}/new")
    part, before = MOMENTS[moment]
    method = "POST" if bucket.scheme == "gs" and "source_0" not in part else "PUT"
    killed_during(bucket, start(*words), Fault(method, part, seconds=20, skip=before))
    assert "new/commit_success.txt" not in bucket.keys("new/")
    process = start(*words)
    output = process.communicate()[0]
    assert 0 == process.returncode, output
    require_clean(bucket, "new")
    migrated(tmp_path / "old", rules, tmp_path / "new")
    same_values(tmp_path / "new", f"{bucket.url}/new")


@pytest.mark.sample(3)
@pytest.mark.parametrize(("scheme", "part"), [("gs", "migrate_unfinished"), ("gs", "LOCK"), ("s3", "journal/")])
def test_a_run_that_is_killed_after_it_published_is_done(bucket_servers, tmp_path, scheme, part):
    bucket = bucket_servers.bucket(scheme)
    words = (rules_file(tmp_path, RULES), bucket.upload(save(tmp_path / "old", tree()), "old"), f"{bucket.url}/new")
    killed_during(bucket, start(*words), Fault("DELETE", part, seconds=20))
    assert migrate.verify(f"{bucket.url}/new").digests
    process = start(*words)
    output = process.communicate()[0]
    assert (0, True) == (process.returncode, "Already done" in output), output
    if part != "LOCK":
        require_clean(bucket, "new")


@pytest.fixture
def fast_leases(monkeypatch):
    monkeypatch.setattr(bucket_lock, "LEASE_SECONDS", 1.5)
    monkeypatch.setattr(bucket_lock, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(bucket_lock, "_WATCH_SECONDS", 0.1)


def at_once(count, work):
    """What this number of threads return, or the errors that they raise."""
    results = []

    def run():
        try:
            results.append(work())
        except MigrateError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def require_one_written(results):
    """Requires that one run has written DST; returns it in a list."""
    written = [one for one in results if not isinstance(one, MigrateError) and one.published is None]
    assert 1 == len(written), results
    return written


def test_of_two_runs_at_once_one_writes(bucket, tmp_path, fast_leases):
    far, rules = bucket.upload(save(tmp_path / "old", tree()), "old"), rules_file(tmp_path, RULES)
    results = at_once(4, lambda: migrated(far, rules, f"{bucket.url}/new"))
    written = require_one_written(results)
    assert all(isinstance(one, RefusedError) or one.published for one in results if one not in written), results
    require_clean(bucket, "new")
    migrated(tmp_path / "old", rules, tmp_path / "new")
    same_values(tmp_path / "new", f"{bucket.url}/new")


def lock_of(bucket, far, rules):
    with migrate.open_checkpoint(far) as checkpoint:
        digest = migrate.plan(checkpoint, rules).digest.removeprefix("sha256:")[:12]
    return f".new.migrate-{digest}/LOCK"


OTHER = b'{"host": "elsewhere", "pid": 7, "started": "", "run": "x", "renewed": "%d"}'


def test_a_stale_lock_is_taken_over(bucket, tmp_path, fast_leases):
    far, rules = bucket.upload(save(tmp_path / "old", tree()), "old"), rules_file(tmp_path, RULES)
    bucket.store().write(lock_of(bucket, far, rules), OTHER % 0).result()
    receipt = migrated(far, rules, f"{bucket.url}/new")
    assert any(re.search("process 7 on host elsewhere.*taken over", note.message) for note in receipt.notes)
    require_clean(bucket, "new")


def test_a_lock_that_is_renewed_is_respected(bucket, tmp_path, fast_leases):
    far, rules = bucket.upload(save(tmp_path / "old", tree()), "old"), rules_file(tmp_path, RULES)
    lock, ended = lock_of(bucket, far, rules), threading.Event()

    def renew():
        for number in range(10_000):
            bucket.store().write(lock, OTHER % number).result()
            if ended.wait(0.3):
                return

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with pytest.raises(RefusedError, match="process 7 on host elsewhere is writing this"):
            migrated(far, rules, f"{bucket.url}/new")
    finally:
        ended.set()
        thread.join()
    assert [] == bucket.keys("new")


@pytest.mark.matrix
def test_a_run_that_lost_its_lock_publishes_nothing(bucket, tmp_path, fast_leases):
    far, rules = bucket.upload(save(tmp_path / "old", tree()), "old"), rules_file(tmp_path, RULES)
    lock = lock_of(bucket, far, rules)

    def take_over(event):
        if isinstance(event, PhaseDone) and event.phase == "verify":
            bucket.store().write(lock, OTHER % 1).result()

    with pytest.raises(StoppedError) as caught:
        migrated(far, rules, f"{bucket.url}/new", listener=take_over)
    assert "M542" == caught.value.diagnostics[0].code
    assert "new/commit_success.txt" not in bucket.keys("new/")
    assert OTHER % 1 == bucket.store().read(lock).result().value
    assert migrated(far, rules, f"{bucket.url}/new").resumed
    require_clean(bucket, "new")
