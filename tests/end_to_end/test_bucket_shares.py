"""Several processes write DST in a bucket, and the result is that of one process on a local path."""

import os
import signal
import subprocess
import sys
import time

import pytest

import migrate
from tests.buckets.traffic import Fault
from tests.end_to_end.test_bucket_destinations import require_clean
from tests.end_to_end.test_bucket_runs import RULES, start, tree
from tests.end_to_end.test_buckets import command, migrated, rules_file, same_values
from tests.engine.sources import save

SMALL = ("--max-ram", "256MiB")


@pytest.fixture
def places(bucket, tmp_path):
    """The source in the bucket and the rules; `expected` is what one process makes of it on a local path."""
    far, rules = bucket.upload(save(tmp_path / "old", tree()), "old"), rules_file(tmp_path, RULES)
    migrated(tmp_path / "old", rules, tmp_path / "expected")
    return far, rules


def test_processes_write_the_checkpoint_of_one(bucket, tmp_path, places):
    far, rules = places
    process = start(rules, far, f"{bucket.url}/new", "--processes", "2", *SMALL)
    output = process.communicate()[0]
    assert 0 == process.returncode, output
    assert any("ocdbt.process_0_" in key for key in bucket.keys("new/"))
    require_clean(bucket, "new")
    same_values(tmp_path / "expected", f"{bucket.url}/new")
    same_values(tmp_path / "expected", bucket.download("new", tmp_path / "copy"))
    assert migrate.verify(f"{bucket.url}/new").digests
    puts = bucket.traffic.puts
    assert max(puts[key] for key in puts if not key.endswith("LOCK")) <= 4


def stage(rules, far, target, share):
    command = [sys.executable, "-m", "migrate", "stage", *map(str, (rules, far, target)), "--share", share]
    env = {**os.environ, "PYTHONPATH": os.getcwd(), "JAX_PLATFORMS": "cpu", "NO_COLOR": "1"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_shares_that_never_meet_are_committed(bucket, tmp_path, places):
    far, rules = places
    target = f"{bucket.url}/new"
    assert 3 == command("commit", rules, far, target)[0]
    processes = [stage(rules, far, target, f"{number}/2") for number in range(2)]
    for process in processes:
        output = process.communicate()[0]
        assert 0 == process.returncode, output
    assert "new/commit_success.txt" not in bucket.keys("new/")
    code, output = command("commit", rules, far, target)
    assert 0 == code, output
    require_clean(bucket, "new")
    same_values(tmp_path / "expected", target)


def test_a_missing_share_is_named_and_what_is_staged_is_kept(bucket, tmp_path, places):
    far, rules = places
    words = (rules, far, f"{bucket.url}/new")
    assert 0 == command("stage", *words, "--share", "1/3")[0]
    code, output = command("commit", *words)
    assert 3 == code
    assert "--share 0/3" in " ".join(output.split())
    staged = [key for key in bucket.keys("new/") if "ocdbt.process_1_" in key]
    assert staged
    for number in range(3):
        assert 0 == command("stage", *words, "--share", f"{number}/3")[0]
    assert set(staged) <= set(bucket.keys("new/"))
    assert 0 == command("commit", *words)[0]
    require_clean(bucket, "new")
    same_values(tmp_path / "expected", words[-1])


def test_shares_replace_a_checkpoint(bucket, tmp_path, places):
    far, rules = places
    migrated(far, rules_file(tmp_path / "old"), f"{bucket.url}/new")
    before = bucket.keys("new/")
    words = (rules, far, f"{bucket.url}/new", "--overwrite")
    for number in range(2):
        code, output = command("stage", *words, "--share", f"{number}/2")
        assert 0 == code, output
    assert before == bucket.keys("new/")
    code, output = command("commit", *words)
    assert 0 == code, output
    require_clean(bucket, "new")
    same_values(tmp_path / "expected", words[2])


def test_a_killed_run_of_processes_is_finished_by_one(bucket, tmp_path, places):
    far, rules = places
    words = (rules, far, f"{bucket.url}/new")
    method = "POST" if bucket.scheme == "gs" else "PUT"
    bucket.traffic.faults.append(Fault(method, "new/manifest.ocdbt", seconds=20))
    process = start(*words, "--processes", "2", *SMALL)
    end = time.monotonic() + 240
    while not bucket.traffic.made and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert bucket.traffic.made
    bucket.traffic.faults.clear()
    assert any("ocdbt.process_0_" in key for key in bucket.keys("new/"))
    process = start(*words)
    output = process.communicate()[0]
    assert 0 == process.returncode, output
    assert "resumed" in output
    require_clean(bucket, "new")
    same_values(tmp_path / "expected", words[-1])


@pytest.mark.parametrize(("name", "more"), [("new.safetensors", ""), ("new", "\ntarget: {layout: zarr}")])
def test_objects_that_cannot_be_joined_are_written_by_one_process(bucket, tmp_path, name, more):
    far, rules = bucket.upload(save(tmp_path / "old", tree()), "old"), rules_file(tmp_path, RULES + more)
    for words in (("apply", "--processes", "2"), ("stage", "--share", "0/2")):
        code, output = command(words[0], rules, far, f"{bucket.url}/{name}", *words[1:])
        assert (2, True) == (code, "M551" in output), output
    assert [] == [key for key in bucket.keys("") if not key.startswith("old/")]
