"""A single file in a bucket is what a local one would be: one object, which appears or is replaced in one step."""

import os

import numpy as np
import pytest
from safetensors.numpy import load

import migrate
from migrate.errors import CheckpointError, RefusedError, StoppedError, VerifyError
from migrate.events import LeafDone, PhaseDone
from migrate.places.bucket_path import BucketPath
from tests.buckets.traffic import Fault
from tests.end_to_end.test_bucket_runs import at_once, killed_during, require_one_written, start
from tests.end_to_end.test_buckets import migrated, rules_file, same_values
from tests.engine.sources import MIXED_RULES, mixed, save

NAMES = ("model.safetensors", "model.msgpack")


@pytest.fixture(autouse=True)
def own_temporary_directory(tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield
    assert [] == os.listdir(tmp_path / "scratch")


@pytest.fixture
def places(bucket, tmp_path):
    """The source in the bucket, and the rules."""
    return bucket.upload(save(tmp_path / "old", mixed()), "old"), rules_file(tmp_path, MIXED_RULES)


def require_clean(bucket, name):
    assert [f"x/{name}"] == [key for key in bucket.keys("") if not key.startswith("old/")]


@pytest.mark.parametrize("name", NAMES)
def test_the_object_has_the_bytes_of_the_local_file(bucket, tmp_path, places, name):
    far, rules = places
    near = migrated(far, rules, tmp_path / name)
    remote = migrated(far, rules, f"{bucket.url}/x/{name}")
    assert near.leaf_digests == remote.leaf_digests
    assert near.verified_leaves == remote.verified_leaves > 0
    require_clean(bucket, name)
    same_values(tmp_path / name, f"{bucket.url}/x/{name}")
    assert migrate.verify(f"{bucket.url}/x/{name}").digests == migrate.verify(tmp_path / name).digests
    content = bucket.store().read(f"x/{name}").result().value
    assert len(content) == (tmp_path / name).stat().st_size
    if name.endswith("safetensors"):
        ours, theirs = load(content), load((tmp_path / name).read_bytes())
        assert ours.keys() == theirs.keys()
        for key, array in theirs.items():
            np.testing.assert_array_equal(array, ours[key])
    assert 1 == bucket.traffic.copies[f"x/{name}"]
    assert 0 == bucket.traffic.puts[f"x/{name}"]


def test_an_object_that_exists_is_refused_or_replaced_in_one_step(bucket, tmp_path, places):
    far, rules = places
    target = f"{bucket.url}/x/model.safetensors"
    migrated(far, rules_file(tmp_path / "old"), target)
    rules = rules_file(tmp_path, MIXED_RULES)
    with pytest.raises(RefusedError, match="exists"):
        migrated(far, rules, target)
    seen = []

    def look(event):
        if isinstance(event, PhaseDone):
            seen.append(bucket.store().read("x/model.safetensors").result().value)

    before = bucket.store().read("x/model.safetensors").result().value
    migrated(far, rules, target, overwrite=True, listener=look)
    assert {before} == set(seen)
    require_clean(bucket, "model.safetensors")
    migrated(far, rules, tmp_path / "model.safetensors")
    same_values(tmp_path / "model.safetensors", target)


def test_an_object_that_appears_during_the_run_is_kept(bucket, tmp_path, places):
    far, rules = places

    def appear(event):
        if isinstance(event, PhaseDone) and event.phase == "verify":
            bucket.store().write("x/model.safetensors", b"other").result()

    with pytest.raises(StoppedError, match="appeared"):
        migrated(far, rules, f"{bucket.url}/x/model.safetensors", listener=appear)
    assert b"other" == bucket.store().read("x/model.safetensors").result().value
    bucket.store().write("x/model.safetensors", None).result()
    migrated(far, rules, f"{bucket.url}/x/model.safetensors", overwrite=True)
    require_clean(bucket, "model.safetensors")


def test_a_stopped_run_is_resumed(bucket, tmp_path, places):
    far, rules = places
    events = []

    def stopped():
        return any(isinstance(event, LeafDone) for event in events)

    target = f"{bucket.url}/x/model.safetensors"
    with pytest.raises(StoppedError):
        migrated(far, rules, target, listener=events.append, stopped=stopped)
    assert "x/model.safetensors" not in bucket.keys("")
    assert migrated(far, rules, target, resume="only").resumed
    require_clean(bucket, "model.safetensors")
    migrated(far, rules, tmp_path / "model.safetensors")
    same_values(tmp_path / "model.safetensors", target)


def test_a_file_that_is_gone_is_staged_again(bucket, tmp_path, places):
    far, rules = places
    events = []

    def stopped():
        return any(isinstance(event, LeafDone) for event in events)

    target = f"{bucket.url}/x/model.msgpack"
    with pytest.raises(StoppedError):
        migrated(far, rules, target, listener=events.append, stopped=stopped)
    for folder in (tmp_path / "scratch").iterdir():
        folder.rename(tmp_path / "elsewhere")
    assert not migrated(far, rules, target).resumed
    migrated(far, rules, tmp_path / "model.msgpack")
    same_values(tmp_path / "model.msgpack", target)


def test_a_failed_verification_leaves_nothing(bucket, places):
    far, rules = places

    def damage(event):
        if isinstance(event, PhaseDone) and event.phase == "commit":
            (key,) = [key for key in bucket.keys("") if key.endswith("/result")]
            content = bytearray(bucket.store().read(key).result().value)
            content[-4:] = b"\x12\x34\x56\x78"
            bucket.store().write(key, bytes(content)).result()
            BucketPath(bucket.url).refresh()

    with pytest.raises(VerifyError):
        migrated(far, rules, f"{bucket.url}/x/model.safetensors", listener=damage)
    assert {"old"} == {key.split("/")[0] for key in bucket.keys("")}


@pytest.mark.sample(4)
@pytest.mark.parametrize("part", ["/result", "/x/model.safetensors"])
def test_a_killed_run_is_finished_by_the_same_command(bucket, tmp_path, places, part):
    far, rules = places
    words = (rules, far, f"{bucket.url}/x/model.safetensors")
    is_post = bucket.scheme == "gs" and part == "/result"
    killed_during(bucket, start(*words), Fault("POST" if is_post else "PUT", part, seconds=20))
    assert "x/model.safetensors" not in bucket.keys("")
    process = start(*words)
    output = process.communicate()[0]
    assert 0 == process.returncode, output
    require_clean(bucket, "model.safetensors")
    migrated(far, rules, tmp_path / "model.safetensors")
    same_values(tmp_path / "model.safetensors", words[-1])


def test_what_a_run_left_that_was_killed_after_it_published_is_removed(bucket, places):
    far, rules = places
    words = (rules, far, f"{bucket.url}/x/model.safetensors")
    killed_during(bucket, start(*words), Fault("DELETE", "/result", seconds=20, skip=1))
    assert migrate.verify(words[-1]).digests
    process = start(*words)
    output = process.communicate()[0]
    assert (0, True) == (process.returncode, "Already done" in output), output
    require_clean(bucket, "model.safetensors")


def test_of_two_runs_at_once_one_writes(bucket, places):
    far, rules = places
    require_one_written(at_once(2, lambda: migrated(far, rules, f"{bucket.url}/x/model.safetensors")))
    require_clean(bucket, "model.safetensors")


@pytest.mark.parametrize("status", [503, 0])
@pytest.mark.matrix
def test_failures_of_the_server_are_survived(bucket, tmp_path, places, status):
    far, rules = places
    methods = ("GET", "POST", "PUT", "DELETE")
    bucket.traffic.faults += [Fault(m, bucket.name, status=status, skip=skip) for m in methods for skip in (0, 2)]
    migrated(far, rules, f"{bucket.url}/x/model.safetensors")
    assert bucket.traffic.made > 3
    bucket.traffic.reset()
    require_clean(bucket, "model.safetensors")
    migrated(far, rules, tmp_path / "model.safetensors")
    same_values(tmp_path / "model.safetensors", f"{bucket.url}/x/model.safetensors")


def test_a_bucket_that_refuses_writes_is_named(bucket, tmp_path, places):
    far, rules = places
    bucket.traffic.faults += [Fault(m, "result", times=99, status=403) for m in ("PUT", "POST")]
    with pytest.raises(CheckpointError, match="cannot be reached"):
        migrated(far, rules, f"{bucket.url}/x/model.safetensors")
    bucket.traffic.faults.clear()
    migrated(far, rules, f"{bucket.url}/x/model.safetensors")
    require_clean(bucket, "model.safetensors")
